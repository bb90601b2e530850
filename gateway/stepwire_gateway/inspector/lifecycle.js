import { deleteSession, Problem, resumeSession } from "./api.js";
import { newId } from "./ids.js";

/**
 * What can be done with a whole session: the menu at the top, and the question before it is deleted.
 *
 * @param {{menu: HTMLElement, dialog: HTMLDialogElement}} parts
 * @param {string} sid
 * @param {() => void} onDeleted
 */
export function offerLifecycle({ menu, dialog }, sid, onDeleted) {
  const [resume, remove] = menu.querySelectorAll("button");
  const resumeProblem = menu.querySelector(".problem");
  resume.addEventListener("click", () => tried(resume, resumeProblem, async () => {
    await resumeSession(sid, newId());
    menu.hidePopover();
  }));
  remove.addEventListener("click", () => {
    menu.hidePopover();
    dialog.querySelector(".problem").hidden = true;
    dialog.showModal();
  });
  const [cancel, confirm] = dialog.querySelectorAll("button");
  cancel.addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", () => tried(confirm, dialog.querySelector(".problem"), async () => {
    await deleted(sid);
    dialog.close();
    onDeleted();
  }));
}

/** Another person may have been quicker; gone is gone. */
async function deleted(sid) {
  try {
    await deleteSession(sid);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "session_not_found") throw error;
  }
}

/** @param {HTMLButtonElement} button @param {HTMLElement} problem @param {() => Promise<void>} action */
async function tried(button, problem, action) {
  button.disabled = true;
  problem.hidden = true;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem.textContent = `${error.message} Try again.`;
    problem.hidden = false;
  } finally {
    button.disabled = false;
  }
}

import { clickAction, Problem } from "./api.js";
import { el } from "./dom.js";
import { newId } from "./ids.js";

/** The buttons of a step or message: each click is a run. */
export class ActionsView {
  element = el("div", { class: "message-actions", role: "group", "aria-label": "Actions" });

  #node;
  #tree;
  #row = el("div", { class: "choices" });
  #problem = el("p", { class: "problem", role: "alert" });
  /** @type {Map<string, HTMLButtonElement>} */
  #buttons = new Map();
  /** Runs that may have begun although no answer came: a repetition has the same id. @type {Map<string, string>} */
  #unanswered = new Map();

  /** @param {import("./session.js").Node} node @param {import("./tree.js").Tree} tree */
  constructor(node, tree) {
    this.#node = node;
    this.#tree = tree;
    this.#problem.hidden = true;
    this.element.append(this.#row, this.#problem);
  }

  update() {
    const actions = this.#node.attached.action;
    for (const [id, button] of this.#buttons) {
      if (actions.has(id)) continue;
      button.remove();
      this.#buttons.delete(id);
    }
    for (const [id, { name, label, tooltip }] of actions) {
      let button = this.#buttons.get(id);
      if (!button) {
        button = el("button", { type: "button", class: "choice" });
        button.dataset.actionId = id;
        button.addEventListener("click", () => this.#click(id));
        this.#buttons.set(id, button);
        this.#row.append(button);
      }
      button.textContent = String(label || name);
      button.title = String(tooltip ?? "");
    }
    this.element.hidden = actions.size === 0 && this.#problem.hidden;
  }

  /** @param {string} id */
  async #click(id) {
    const button = this.#buttons.get(id);
    const run = this.#unanswered.get(id) ?? newId();
    this.#unanswered.set(id, run);
    button.disabled = true;
    this.#complain("");
    try {
      await clickAction(this.#tree.sid, id, { id: run });
      this.#unanswered.delete(id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 0) this.#unanswered.delete(id);
      const gone = error.code === "action_not_found";
      this.#complain(gone ? "Not sent: another person was quicker." : `Not sent. ${error.message}`);
    } finally {
      button.disabled = false;
    }
  }

  /** @param {string} words without any, nothing is wrong */
  #complain(words) {
    this.#problem.textContent = words;
    this.#problem.hidden = words === "";
    this.update();
  }
}

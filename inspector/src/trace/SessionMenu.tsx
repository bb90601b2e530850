import { useRef, useState } from "react";
import type { Session, StepwireError } from "stepwire";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";
import { deletedHere } from "./Banners";
import { download } from "./download";
import { useHistory } from "./history";

/** What can be done with a session as a whole. */
export function SessionMenu() {
  const session = useSession();
  const history = useHistory();
  const menu = useRef<HTMLDivElement>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const attempt = async (what: () => Promise<unknown>, done: () => void) => {
    setBusy(true);
    setProblem("");
    try {
      await what();
      done();
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const hide = () => menu.current?.hidePopover();
  return (
    <>
      <button type="button" className="button quiet icon-only" popoverTarget="menu" aria-label="More about this session"><Icon name="more" /></button>
      <div ref={menu} id="menu" className="menu" popover="auto">
        <button type="button" className="button quiet" disabled={busy} onClick={() => void attempt(() => session.resume(), hide)}>Resume<small>Runs on_chat_resume, as when the person comes back</small></button>
        <button type="button" className="button quiet" onClick={() => {
          hide();
          history.start();
        }}>History<small>Shows the session as it was after each event</small></button>
        <button type="button" className="button quiet" onClick={() => {
          hide();
          download(`${session.id}.json`, session.store.snapshot());
        }}>Download<small>All that the session shows, as JSON</small></button>
        <button type="button" className="button quiet danger" onClick={() => {
          hide();
          setProblem("");
          dialog.current?.showModal();
        }}>Delete session…<small>With everything in it, for everybody</small></button>
        {problem && <p className="problem" role="alert">{problem}</p>}
      </div>
      <dialog ref={dialog} className="dialog" aria-labelledby="confirm-title" aria-describedby="confirm-words">
        <h2 id="confirm-title">Delete this session?</h2>
        <p id="confirm-words">Its messages, steps and files are deleted at once, for everybody, and its runs are stopped. This cannot be undone.</p>
        {problem && <p className="problem" role="alert">{problem}</p>}
        <div className="dialog-choices">
          <button type="button" className="button" autoFocus onClick={() => dialog.current?.close()}>Keep it</button>
          <button type="button" className="button primary danger" disabled={busy}
            onClick={() => void attempt(() => deleted(session), () => dialog.current?.close())}>Delete session</button>
        </div>
      </dialog>
    </>
  );
}

/** Another person may have been quicker: gone is gone. */
async function deleted(session: Session): Promise<void> {
  deletedHere.add(session.id);
  try {
    await session.delete();
  } catch (error) {
    if ((error as StepwireError).code === "session_not_found") return;
    deletedHere.delete(session.id);
    throw error;
  }
}

import { useCurrentSession, useElements } from "stepwire/react";
import { useEffect, useRef } from "react";
import { Icon } from "../../design/Icon";
import { Caption } from "./Caption";
import { Element } from "./Element";
import { MisfitNote } from "./MisfitNote";
import { nameOf } from "./names";
import { closeElement, useOpened, type Opened } from "./panel";

/** The element that was opened beside the conversation, or as a page of its own. There is one for a session. */
export function ElementPanel() {
  const session = useCurrentSession();
  const opened = useOpened();
  // The session that is shown is another one.
  useEffect(() => closeElement, [session]);
  if (opened?.session !== session) return null;
  return <Panel key={`${opened.display}:${opened.id}`} opened={opened} />;
}

function Panel({ opened: { id, stepId, display } }: { readonly opened: Opened }) {
  const element = useElements(stepId).find((one) => one.id === id);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    const shown = dialog.current!;
    if (display === "page") shown.showModal();
    else shown.show();
    return () => {
      shown.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, [display]);
  const name = element ? nameOf(element) : "element";
  return (
    <dialog
      ref={dialog}
      className={`element-panel ${display}`}
      aria-label={name}
      onCancel={(event) => {
        event.preventDefault();
        closeElement();
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") closeElement();
      }}
    >
      <header>
        <h2 dir="auto">{name}</h2>
        <button type="button" className="button quiet icon-only" aria-label="Close" title="Close" autoFocus onClick={closeElement}><Icon name="close" /></button>
      </header>
      <div className="element-panel-body" tabIndex={0} role="group" aria-label={name}>
        {element ? <figure className="element"><Element element={element} /><Caption element={element} inPanel /></figure> : <MisfitNote reason="It was removed." />}
      </div>
    </dialog>
  );
}

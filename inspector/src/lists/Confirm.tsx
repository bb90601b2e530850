import { useEffect, useRef, type ReactNode } from "react";

/** A question before what cannot be taken back. Escape, and a click beside it, mean no. */
export function Confirm({ title, verb, no = "Keep it", children, onYes, onClose }: {
  readonly title: string;
  readonly verb: string;
  readonly no?: string;
  readonly children: ReactNode;
  readonly onYes: () => void;
  readonly onClose: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog ref={dialog} className="lists-confirm" aria-labelledby="confirm-title" onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <form method="dialog" className="lists-confirm-inside">
        <h2 id="confirm-title">{title}</h2>
        <p>{children}</p>
        <div className="lists-row">
          <button className="button" autoFocus>{no}</button>
          <button className="button danger" onClick={onYes}>{verb}</button>
        </div>
      </form>
    </dialog>
  );
}

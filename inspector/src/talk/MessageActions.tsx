import type { StepAction } from "stepwire";
import { useActions } from "stepwire/react";
import { useSession, useWritable } from "../app/session";
import { findBox, useFocusAfter } from "./focus";
import { useSending } from "./kept";
import { Problem } from "./Question";
import "./talk.css";

/** The buttons of a message: each click is a run. */
export function MessageActions({ stepId }: { readonly stepId: string }) {
  const [actions] = useActions(stepId);
  const sending = useSending(`actions ${stepId}`);
  const isWritable = useWritable();
  const problem = sending.code === "action_not_found" ? "Not sent: another person was quicker." : sending.problem && `Not sent. ${sending.problem}`;
  if (actions.length === 0 && !problem) return null;
  return (
    <div className="talk-actions" role="group" aria-label="Actions">
      <div className="talk-choices">
        {actions.map((action) => <ActionButton key={action.id} action={action} enabled={isWritable} />)}
      </div>
      <Problem>{problem}</Problem>
    </div>
  );
}

function ActionButton({ action: { id, step_id, name, label, tooltip }, enabled }: { readonly action: StepAction; readonly enabled: boolean }) {
  const session = useSession();
  const sending = useSending(`actions ${step_id}`);
  // A handler that takes its button away must not take the keyboard's place with it.
  const ref = useFocusAfter<HTMLButtonElement>(() => document.querySelector<HTMLElement>(`[data-of-step="${CSS.escape(step_id)}"]`) ?? findBox());
  return (
    <button ref={ref} type="button" className="button" data-action-id={id} data-of-step={step_id} title={tooltip || undefined} aria-disabled={!enabled || sending.busy || undefined}
      onClick={() => enabled && void sending.send({ click: id }, (run) => session.click(id, { id: run }))}>
      <span dir="auto">{label || name}</span>
    </button>
  );
}

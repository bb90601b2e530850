import { useEffect, useId, useRef } from "react";
import { useFeedback, useStep } from "stepwire/react";
import { useSession, useWritable } from "../app/session";
import { Icon } from "../design/Icon";
import { useKept, useSending } from "./kept";
import { Problem } from "./Question";
import "./talk.css";

const MAX_COMMENT = 10_000;

/** What the person thinks of a step: thumbs, the pressed one takes the rating back; and a comment. */
export function Feedback({ stepId }: { readonly stepId: string }) {
  const session = useSession();
  const isWritable = useWritable();
  const step = useStep(stepId);
  const [given] = useFeedback(stepId);
  const sending = useSending(`feedback ${stepId}`);
  /** The comment that is being written; null: none is. */
  const [comment, setComment] = useKept<string | null>(`comment ${stepId}`, null);
  if (!step || step.status === "running" || (step.disable_feedback && !given)) return null;
  const enabled = isWritable && !step.disable_feedback;
  const rate = (value: 0 | 1 | null, words?: string) => sending.send({ value, words }, () => session.rate(stepId, value, words));
  const press = async (value: 0 | 1) => {
    if (!enabled) return;
    const takesBack = given?.value === value;
    // The comment is of the rating: another thumb keeps it.
    const taken = await rate(takesBack ? null : value, takesBack ? undefined : (given?.comment ?? undefined));
    if (taken) setComment(takesBack ? null : comment);
  };
  const value = given?.value as 0 | 1 | undefined;
  return (
    <div className="talk-feedback" role="group" aria-label="Feedback" data-value={value}>
      <Thumb label="Good" icon="good" pressed={value === 1} enabled={enabled} onPress={() => void press(1)} />
      <Thumb label="Not good" icon="poor" pressed={value === 0} enabled={enabled} onPress={() => void press(0)} />
      {given?.comment && comment === null && <q className="talk-comment" dir="auto">{given.comment}</q>}
      {enabled && value !== undefined && comment === null && (
        <button type="button" className="button quiet" onClick={() => setComment(given?.comment ?? "")}>{given?.comment ? "Edit comment" : "Comment"}</button>
      )}
      {enabled && value !== undefined && comment !== null && (
        <CommentForm text={comment} busy={sending.busy} onChange={setComment} onCancel={() => setComment(null)} onSave={async () => {
          if (await rate(value, comment.trim() || undefined)) setComment(null);
        }} />
      )}
      <Problem>{sending.problem && `Your rating was not saved. ${sending.problem}`}</Problem>
    </div>
  );
}

function Thumb({ label, icon, pressed, enabled, onPress }: { readonly label: string; readonly icon: "good" | "poor"; readonly pressed: boolean; readonly enabled: boolean; readonly onPress: () => void }) {
  return (
    <button type="button" className="button quiet icon-only" aria-label={label} title={label} aria-pressed={pressed} aria-disabled={!enabled || undefined} onClick={onPress}><Icon name={icon} /></button>
  );
}

function CommentForm({ text, busy, onChange, onSave, onCancel }: {
  readonly text: string;
  readonly busy: boolean;
  readonly onChange: (text: string) => void;
  readonly onSave: () => void;
  readonly onCancel: () => void;
}) {
  const id = useId();
  const box = useRef<HTMLTextAreaElement>(null);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const group = form.current?.closest<HTMLElement>("[role=group]");
    box.current?.focus();
    return () => {
      // It closes with the focus in it: back to the rating that it is about.
      if (document.activeElement === document.body) group?.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    };
  }, []);
  return (
    <form ref={form} className="talk-comment-form" onSubmit={(event) => {
      event.preventDefault();
      onSave();
    }}>
      <label htmlFor={id}>Comment</label>
      <textarea id={id} ref={box} className="field" dir="auto" rows={2} maxLength={MAX_COMMENT} value={text} onChange={({ target }) => onChange(target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel();
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) onSave();
        }} />
      <div className="talk-choices">
        <button type="submit" className="button primary" disabled={busy}>Save</button>
        <button type="button" className="button quiet" onClick={onCancel}>Cancel</button>
      </div>
    </form>
  );
}

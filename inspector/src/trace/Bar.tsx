import { useSession } from "../app/session";
import { duration } from "../app/words";
import { type Span, windowOf } from "./times";

interface Props {
  readonly runId: string | null;
  readonly span: Span;
  readonly now: number;
  readonly status: string;
}

/** When something ran, on the time of its run, with the wait before it. */
export function Bar({ runId, span: { waitedFrom, start, end }, now, status }: Props) {
  const { store } = useSession();
  const whole = windowOf(store, runId, now);
  if (!whole) return <span className="bar" />;
  const percent = (at: number) => (100 * Math.min(1, Math.max(0, (at - whole.start) / (whole.end - whole.start))));
  const place = (from: number, to: number) => ({ insetInlineStart: `${percent(from)}%`, inlineSize: `${Math.max(0, percent(to) - percent(from))}%` });
  const words = `began after ${duration(Math.max(0, start - whole.start))}, waited ${duration(start - waitedFrom)}, took ${duration(Math.max(0, end - start))}`;
  return (
    <span className="bar" data-status={status} title={words}>
      {start > waitedFrom && <span className="bar-wait" style={place(waitedFrom, start)} />}
      <span className="bar-run" style={place(start, end)} />
    </span>
  );
}

import type { Store } from "stepwire";
import { useSession } from "../app/session";
import { duration } from "../app/words";
import { useNow } from "./now";
import { type Span, windowOf } from "./times";

interface Props {
  readonly runId: string | null;
  readonly of: (store: Store, now: number) => Span;
  readonly isRunning: boolean;
  readonly status: string;
  readonly hasBar: boolean;
}

/** How long something has taken, counting on while it runs, and when: on the time of its run, with the wait before it. */
export function Took({ runId, of, isRunning, status, hasBar }: Props) {
  const now = useNow(isRunning);
  const { store } = useSession();
  const { waitedFrom, start, end } = of(store, now);
  const took = duration(Math.max(0, end - start), !isRunning);
  const whole = hasBar ? windowOf(store, runId, now) : null;
  if (!whole) return <><span className="line-time">{took}</span>{hasBar && <span className="bar" />}</>;
  const percent = (at: number) => (100 * Math.min(1, Math.max(0, (at - whole.start) / (whole.end - whole.start))));
  const place = (from: number, to: number) => ({ insetInlineStart: `${percent(from)}%`, inlineSize: `${Math.max(0, percent(to) - percent(from))}%` });
  const words = `began after ${duration(Math.max(0, start - whole.start))}, waited ${duration(start - waitedFrom)}, took ${took}`;
  return (
    <>
      <span className="line-time">{took}</span>
      <span className="bar" data-status={status} title={words}>
        {start > waitedFrom && <span className="bar-wait" style={place(waitedFrom, start)} />}
        <span className="bar-run" style={place(start, end)} />
      </span>
    </>
  );
}

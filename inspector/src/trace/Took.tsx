import type { Store } from "stepwire";
import { useSession } from "../app/session";
import { duration } from "../app/words";
import { Bar } from "./Bar";
import { useNow } from "./now";
import type { Span } from "./times";

interface Props {
  readonly runId: string | null;
  readonly of: (store: Store, now: number) => Span;
  readonly isRunning: boolean;
  readonly status: string;
  readonly hasBar: boolean;
}

/** How long something has taken, counting on while it runs, and when. */
export function Took({ runId, of, isRunning, status, hasBar }: Props) {
  const now = useNow(isRunning);
  const { store } = useSession();
  const span = of(store, now);
  return (
    <>
      <span className="line-time">{duration(Math.max(0, span.end - span.start), !isRunning)}</span>
      {hasBar && <Bar runId={runId} span={span} now={now} status={status} />}
    </>
  );
}

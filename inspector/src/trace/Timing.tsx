import type { Store } from "stepwire";
import { useSession } from "../app/session";
import { duration, timeOfDay } from "../app/words";
import { Bar } from "./Bar";
import { useNow } from "./now";
import { type Span, windowOf } from "./times";

interface Props {
  readonly runId: string | null;
  readonly of: (store: Store, now: number) => Span;
  readonly status: string;
}

/** When something began and ended, how long it has waited before, and where that is in the time of its run. */
export function Timing({ runId, of, status }: Props) {
  const isRunning = status === "running";
  const now = useNow(isRunning);
  const { store } = useSession();
  const span = of(store, now);
  const { waitedFrom, start, end } = span;
  const whole = windowOf(store, runId, now);
  const at = (ms: number) => (Number.isNaN(ms) ? "" : new Date(ms).toISOString());
  return (
    <div className="timing">
      <dl className="facts">
        <div><dt>Began</dt><dd><time dateTime={at(start)} title={at(start)}>{timeOfDay(at(start))}</time></dd></div>
        <div><dt>Waited before</dt><dd>{duration(start - waitedFrom)}</dd></div>
        <div><dt>{isRunning ? "Runs for" : "Took"}</dt><dd>{duration(Math.max(0, end - start), !isRunning)}</dd></div>
        {whole && <div><dt>In its run</dt><dd>after {duration(Math.max(0, start - whole.start))} of {duration(whole.end - whole.start)}</dd></div>}
      </dl>
      {whole && <Bar runId={runId} span={span} now={now} status={status} />}
    </div>
  );
}

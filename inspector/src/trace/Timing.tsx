import type { Store } from "stepwire";
import { useSession } from "../app/session";
import { duration, timeOfDay } from "../app/words";
import { useNow } from "./now";
import type { Span } from "./times";

/** When something began and ended, and how long it has waited before. */
export function Timing({ of, isRunning }: { readonly of: (store: Store, now: number) => Span; readonly isRunning: boolean }) {
  const now = useNow(isRunning);
  const { store } = useSession();
  const { waitedFrom, start, end } = of(store, now);
  const at = (ms: number) => (Number.isNaN(ms) ? "" : new Date(ms).toISOString());
  return (
    <dl className="facts timing">
      <div><dt>Began</dt><dd><time dateTime={at(start)} title={at(start)}>{timeOfDay(at(start))}</time></dd></div>
      <div><dt>Waited before</dt><dd>{duration(start - waitedFrom)}</dd></div>
      <div><dt>{isRunning ? "Runs for" : "Took"}</dt><dd>{duration(Math.max(0, end - start), !isRunning)}</dd></div>
    </dl>
  );
}

import type { Store } from "stepwire";
import { useSession } from "../app/session";
import { duration } from "../app/words";
import { useNow } from "./now";
import type { Span } from "./times";

/** How long something has taken, counting on while it runs. */
export function Duration({ of, isRunning }: { readonly of: (store: Store, now: number) => Span; readonly isRunning: boolean }) {
  const now = useNow(isRunning);
  const { store } = useSession();
  const { start, end } = of(store, now);
  return <span className="line-time">{duration(Math.max(0, end - start), !isRunning)}</span>;
}

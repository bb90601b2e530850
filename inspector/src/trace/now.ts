import { useSyncExternalStore } from "react";
import { Clock } from "../app/clock";
import { useSession } from "../app/session";

/** One clock for all rows that still run, which stands still while there are none. */
let tick = 0;
const clock = new Clock(100, () => {
  if (document.hidden) return;
  tick += 1;
  clock.tell();
});

const never = () => () => {};

/** The server's time, anew every so often while `isRunning`. */
export function useNow(isRunning: boolean): number {
  const session = useSession();
  useSyncExternalStore(isRunning ? clock.subscribe : never, () => (isRunning ? tick : 0));
  return session.serverNow();
}

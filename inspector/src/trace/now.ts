import { useSyncExternalStore } from "react";
import { useSession } from "../app/session";

const TICK_MS = 100;

/** One clock for all rows that still run, which stands still while there are none. */
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let tick = 0;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    if (document.hidden) return;
    tick += 1;
    for (const each of [...listeners]) each();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

const never = () => () => {};

/** The server's time, anew every so often while `isRunning`. */
export function useNow(isRunning: boolean): number {
  const session = useSession();
  useSyncExternalStore(isRunning ? subscribe : never, () => (isRunning ? tick : 0));
  return session.serverNow();
}

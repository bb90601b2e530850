/** What the workers can be asked for. All parts of the page share what is known of it. */
import { useEffect, useSyncExternalStore } from "react";
import type { TaskList } from "stepwire/lists";
import { lists } from "../app/gateway";

/** Workers come and go. */
const EVERY_MS = 30_000;
const FRESH_MS = 2_000;

let offer: TaskList | null = null;
let askedAt = -Infinity;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** Asks again, unless it has just been asked for. */
export function refreshOffer(): void {
  if (document.hidden || performance.now() - askedAt < FRESH_MS) return;
  askedAt = performance.now();
  lists.tasks().then(
    (found) => {
      offer = found;
      for (const listener of listeners) listener();
    },
    // Without it there are no forms, and what is written is sent all the same.
    () => {},
  );
}

/** Null while it is not known. `when`: a change of it is a reason to ask again. */
export function useOffer(when?: unknown): TaskList | null {
  useEffect(refreshOffer, [when]);
  return useSyncExternalStore(subscribe, () => offer);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(refreshOffer, EVERY_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

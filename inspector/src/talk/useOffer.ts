/** What the workers can be asked for. All parts of the page share what is known of it. */
import { useEffect, useSyncExternalStore } from "react";
import type { TaskList } from "stepwire/lists";
import { Clock } from "../app/clock";
import { lists } from "../app/gateway";

/** Workers come and go. */
const EVERY_MS = 30_000;
const FRESH_MS = 2_000;

let offer: TaskList | null = null;
let askedAt = -Infinity;
const clock = new Clock(EVERY_MS, refreshOffer);

/** Asks again, unless it has just been asked for. */
export function refreshOffer(): void {
  if (document.hidden || performance.now() - askedAt < FRESH_MS) return;
  askedAt = performance.now();
  lists.tasks().then(
    (found) => {
      offer = found;
      clock.tell();
    },
    // Without it there are no forms, and what is written is sent all the same.
    () => {},
  );
}

/** Null while it is not known. `when`: a change of it is a reason to ask again. */
export function useOffer(when?: unknown): TaskList | null {
  useEffect(refreshOffer, [when]);
  return useSyncExternalStore(clock.subscribe, () => offer);
}

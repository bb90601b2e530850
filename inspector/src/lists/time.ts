/** Times as people read them, and a clock that all parts of the page share. */
import { useSyncExternalStore } from "react";
import { Clock } from "../app/clock";

let now = Date.now();
const clock = new Clock(1000, () => {
  now = Date.now();
  clock.tell();
});

/** Milliseconds since the epoch, in steps; a component that rounds them renders as rarely as it rounds. */
export function useNow(stepMs: number): number {
  return useSyncExternalStore(clock.subscribe, () => Math.floor(now / stepMs) * stepMs);
}

/** `4 s`, `3 min`, `2 h`, `5 d`. */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** A time in the words and the zone of the reader. */
export const local = (iso: string) => new Date(iso).toLocaleString();

import type { Run, Step, Store } from "stepwire";
import { topRun } from "./items";

/** When something ran, in milliseconds since the epoch; `waitedFrom` is when it could have begun. */
export interface Span {
  readonly waitedFrom: number;
  readonly start: number;
  /** Now, for what still runs. */
  readonly end: number;
  readonly isOver: boolean;
}

export function spanOfRun(store: Store, run: Run, now: number): Span {
  const start = Date.parse(run.started_at);
  const asked = run.message_id === null ? NaN : Date.parse(store.step(run.message_id)?.started_at ?? "");
  return { waitedFrom: Number.isNaN(asked) ? start : Math.min(asked, start), start, end: endOf(run.ended_at, now), isOver: run.ended_at !== null };
}

/** A step waits from the end of the one before it, or from the start of the one above it. */
export function spanOfStep(store: Store, step: Step, now: number): Span {
  const start = Date.parse(step.started_at);
  let from = -Infinity;
  const above = step.parent_id === null ? undefined : store.step(step.parent_id);
  if (above && above.run_id === step.run_id) from = Date.parse(above.started_at);
  const run = step.run_id === null ? undefined : store.run(step.run_id);
  if (run && run.attempt === step.attempt) from = Math.max(from, Date.parse(run.started_at));
  for (const { kind, id } of nearby(store, step)) {
    const other = kind === "step" ? store.step(id) : undefined;
    const end = Date.parse(other?.ended_at ?? "");
    if (other !== step && end <= start) from = Math.max(from, end);
  }
  return { waitedFrom: from === -Infinity || from > start ? start : from, start, end: endOf(step.ended_at, now), isOver: step.ended_at !== null };
}

/** Of many siblings, those just before it: what ended long ago does not tell what it waited for. */
const NEAR = 50;
function nearby(store: Store, step: Step) {
  const siblings = store.children(step.parent_id !== null && store.step(step.parent_id) ? step.parent_id : null);
  const at = siblings.length <= NEAR ? siblings.length : siblings.findIndex(({ id }) => id === step.id);
  return siblings.slice(Math.max(0, at - NEAR), at);
}

const MOST_WAIT = 0.25;

/** What the bars of a run are drawn on: from when it was asked for until its end, over all that it has started. */
export function windowOf(store: Store, runId: string | null, now: number): { start: number; end: number } | null {
  const run = topRun(store, runId);
  if (!run) return null;
  const { waitedFrom, start, end } = spanOfRun(store, run, now);
  // A long wait must not take the room of what was done after it: its bar is cut off at the beginning.
  return { start: Math.max(waitedFrom, start - (end - start) * MOST_WAIT), end: Math.max(end, start + 1) };
}

function endOf(endedAt: string | null, now: number): number {
  return endedAt === null ? now : Date.parse(endedAt);
}

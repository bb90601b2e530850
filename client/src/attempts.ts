import type { Store } from "./store.js";

/** An attempt of a run, with the steps that it began with. */
export interface Attempt {
  readonly attempt: number;
  readonly roots: readonly string[];
}

/** The attempts of a run that have left steps, and its last one. */
export function attemptsOf(store: Store, runId: string): readonly Attempt[] {
  return store.derive(`attempts:${runId}`, () => {
    const roots = new Map<number, string[]>();
    const last = store.run(runId)?.attempt;
    for (const { id, run_id, attempt, parent_id } of store.steps()) {
      // The message that has started a run belongs to none of its attempts.
      if (run_id !== runId || attempt === 0) continue;
      const above = store.step(parent_id ?? "");
      const all = roots.get(attempt) ?? [];
      roots.set(attempt, all);
      if (above?.run_id !== runId || above.attempt !== attempt) all.push(id);
    }
    if (last !== undefined && !roots.has(last)) roots.set(last, []);
    return [...roots].sort(([a], [b]) => a - b).map(([attempt, ids]) => ({ attempt, roots: ids }));
  });
}

import type { Row, Run, Step, Store } from "stepwire";
import { isMessage, type OpenState } from "./open";

/** What the list shows in one place. */
export interface Item {
  readonly key: string;
  readonly kind: "message" | "step" | "run" | "attempt";
  /** Of the step or run. */
  readonly id: string;
  readonly depth: number;
  readonly open: boolean;
  readonly descendants: number;
  readonly errors: number;
  readonly attempt: number;
}

export type Where = (step: Step) => boolean;

/** A list of a large session is made again after so many times of what making it takes. */
const REST = 4;
const AT_ONCE_MS = 8;

/**
 * The list of a store, as it is shown. It is made again when the tree or what is open has changed, at once as long as
 * that is cheap; while a session of 100,000 steps changes, some times a second.
 */
export class Items {
  list: readonly Item[] = [];
  /** Grows each time that it is made. */
  version = 0;
  readonly #store: Store;
  readonly #open: OpenState;
  readonly #known = new WeakMap<Row, Item>();
  readonly #attempts = new Map<string, Item>();
  readonly #listeners = new Set<() => void>();
  #where: Where | null = null;
  #tookMs = 0;
  #endedAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: Store, open: OpenState) {
    this.#store = store;
    this.#open = open;
    this.#make();
  }

  /** Only these steps are shown, with what stands above them; null: all that are open. */
  set where(where: Where | null) {
    if (where === this.#where) return;
    this.#where = where;
    this.#refresh();
  }

  /** Keeps the list current until the result is called. */
  readonly keep = (): (() => void) => {
    const soon = () => {
      const rest = this.#tookMs < AT_ONCE_MS ? 0 : this.#tookMs * REST - (performance.now() - this.#endedAt);
      if (rest <= 0) this.#refresh();
      else this.#timer ??= setTimeout(() => this.#refresh(), rest);
    };
    const leaveStore = this.#store.subscribe("rows", soon);
    const leaveOpen = this.#open.subscribe(() => this.#refresh());
    this.#refresh();
    return () => {
      leaveStore();
      leaveOpen();
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Where a step or run stands in the list; -1 if something above it is closed, or it is filtered out. */
  indexOf(key: string): number {
    return this.list.findIndex((item) => item.key === key);
  }

  #refresh(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const startedAt = performance.now();
    this.#make();
    this.version += 1;
    this.#endedAt = performance.now();
    this.#tookMs = this.#endedAt - startedAt;
    for (const listener of [...this.#listeners]) listener();
  }

  #make(): void {
    const where = this.#where ?? undefined;
    const rows = this.#store.rows({ where, isOpen: where ? ALL : this.#open.isOpen });
    const again = new Set(this.#store.runs().filter(({ attempt }) => attempt > 1).map(({ run_id }) => run_id));
    const list: Item[] = [];
    const seen = new Set<string>();
    for (const row of rows) {
      const step = row.kind === "step" ? this.#store.step(row.id) : undefined;
      if (step?.run_id && step.attempt > 0 && again.has(step.run_id)) {
        const key = `attempt:${step.run_id}:${step.attempt}`;
        if (!seen.has(key) && this.#isRoot(step)) {
          seen.add(key);
          list.push(this.#attempt(key, step.run_id, step.attempt, row.depth));
        }
      }
      let item = this.#known.get(row);
      if (!item) {
        item = { ...row, key: keyOf(row.kind, row.id), kind: step && isMessage(step) ? "message" : row.kind, attempt: 0 };
        this.#known.set(row, item);
      }
      list.push(item);
    }
    if (list.length !== this.list.length || list.some((item, at) => item !== this.list[at])) this.list = list;
  }

  #attempt(key: string, id: string, attempt: number, depth: number): Item {
    let item = this.#attempts.get(key);
    if (item?.depth !== depth) this.#attempts.set(key, (item = { key, kind: "attempt", id, depth, open: true, descendants: 0, errors: 0, attempt }));
    return item;
  }

  /** Whether nothing of the same attempt stands above it. */
  #isRoot({ run_id, attempt, parent_id }: Step): boolean {
    const above = parent_id === null ? undefined : this.#store.step(parent_id);
    return above?.run_id !== run_id || above.attempt !== attempt;
  }
}

const ALL = () => true;

/** As in the address of a step or run. */
export const keyOf = (kind: "step" | "run", id: string) => (kind === "run" ? `run:${id}` : id);

/** The run that stands above all others of a step or run, as far as the session has it. */
export function topRun(store: Store, runId: string | null): Run | undefined {
  let run = runId === null ? undefined : store.run(runId);
  for (let guard = 0; run?.parent_run_id && guard < 100; guard += 1) run = store.run(run.parent_run_id) ?? run;
  return run;
}

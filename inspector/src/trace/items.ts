import type { Row, Run, Step, Store } from "stepwire";
import type { OpenState } from "./open";

export type Where = (step: Step) => boolean;

/** A list that costs much is made again after so many times of what making it takes. */
const REST = 4;
const AT_ONCE_MS = 8;

/**
 * The list of a store, as it is shown. It changes with the tree and with what is open, at once as long as that is cheap:
 * what begins or ends is put into it. Filtered, it is made again, and while a session of 100,000 steps changes, some
 * times a second.
 */
export class Items {
  list: readonly Row[] = [];
  /** Grows each time that anything in it, or in what it is made of, has changed. */
  version = 0;
  readonly #store: Store;
  readonly #open: OpenState;
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
    this.list = this.#store.rows({ where, isOpen: where ? ALL : this.#open.isOpen, attempts: true });
  }
}

const ALL = () => true;

/** Where a row stands in the list; -1 if something above it is closed, or it is filtered out. It is often where it was. */
export function indexOf(list: readonly Row[], key: string | null, before = 0): number {
  if (key === null) return -1;
  return list[before]?.key === key ? before : list.findIndex((row) => row.key === key);
}

/** The run that stands above all others of a step or run, as far as the session has it. */
export function topRun(store: Store, runId: string | null): Run | undefined {
  let run = runId === null ? undefined : store.run(runId);
  for (let guard = 0; run?.parent_run_id && guard < 100; guard += 1) run = store.run(run.parent_run_id) ?? run;
  return run;
}

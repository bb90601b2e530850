import type { Store } from "./store.js";
import { shared } from "./tolerance.js";
import { walk, type Place, type Tree } from "./tree.js";
import type { Run, Step } from "./vocabulary.js";

/** A line of the tree. */
export interface Row {
  /** Its own among all rows: the id of a step, `run:` and that of a run, `attempt:`, that of a run and a number. */
  readonly key: string;
  /** Of the step or run; of an attempt, that of its run. */
  readonly id: string;
  readonly kind: "step" | "run" | "attempt";
  readonly depth: number;
  /** Whether what is below it is shown. */
  readonly open: boolean;
  /** How many runs and steps stand below it, at any depth, shown or not. */
  readonly descendants: number;
  /** How many steps below it have failed, shown or not. */
  readonly errors: number;
  /** Whether it is a step that is a message of the conversation. */
  readonly message: boolean;
  /** The number of an attempt; 0 for steps and runs. */
  readonly attempt: number;
}

export interface RowOptions {
  /** Whether a step shows what is below it; by default {@link Store.isOpen}. */
  readonly isOpen?: ((step: Step) => boolean) | undefined;
  /** Which steps are shown: those for which it is true, and all above them. Without it, all steps and runs. */
  readonly where?: ((step: Step) => boolean) | undefined;
  /** Whether a line stands before the first step of each attempt of a run that was tried again. */
  readonly attempts?: boolean | undefined;
}

/** So many changes at a time are put into the list one by one; with more, it is made again. */
const MOST = 200;

/**
 * The rows of a store. A row that has not changed stays the same object. What begins, goes on or ends changes a few
 * rows, which are looked for beside their siblings; after any other change the list is made again.
 */
export class Rows {
  readonly #store: Store;
  #version = -1;
  #options: RowOptions = {};
  #rows: readonly Row[] = [];
  /** The tree of which they are made; null: they have to be made again. */
  #tree: Tree | null = null;
  /** Places that are new, or have changed, in this order. */
  #changed: Place[] = [];
  /** Runs that were tried again, and the lines of their attempts. */
  #again = new Set<string>();
  #attempts = new Map<string, Row>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** This place, and what is counted for those above it, may be another. */
  changed(place: Place): void {
    if (this.#tree && this.#changed.push(place) > MOST) this.reset();
  }

  /** Anything may be another. */
  reset(): void {
    this.#tree = null;
    this.#changed = [];
  }

  list(options: RowOptions, version: number): readonly Row[] {
    const { isOpen, where, attempts } = this.#options;
    const isSame = options.isOpen === isOpen && options.where === where && options.attempts === attempts;
    if (version !== this.#version || !isSame) {
      const { tree } = this.#store;
      const next = (isSame && !where && this.#tree === tree && this.#patched(options)) || null;
      this.#rows = next ?? shared(this.#rows, this.#make(options));
      this.#version = version;
      this.#options = options;
      this.#tree = tree;
      this.#changed = [];
    }
    return this.#rows;
  }

  #make(options: RowOptions): Row[] {
    const store = this.#store;
    const wanted = options.where && this.#wanted(options.where);
    const rows: Row[] = [];
    this.#again = new Set(options.attempts ? store.runs().filter(isAgain).map(({ run_id }) => run_id) : []);
    const [known, attempts] = [this.#attempts, new Map<string, Row>()];
    this.#attempts = attempts;
    walk(store.tree.top.below, (place) => {
      if (wanted && !wanted.has(place)) return false;
      const key = this.#attemptOf(place);
      if (key && !attempts.has(key)) rows.push(this.#attempt(key, place, known.get(key)));
      const row = this.#row(place, options);
      rows.push(row);
      return row.open;
    });
    for (const id of store.echoes) rows.push({ ...NONE, key: id, id, kind: "step", open: true, message: true });
    return rows;
  }

  /** The rows with what has changed; null if that cannot be put into them. */
  #patched(options: RowOptions): readonly Row[] | null {
    const fresh = new Set<Place>();
    for (const place of this.#changed) {
      const { doc, row } = place;
      if (!row) fresh.add(place);
      // What it has below it comes or goes, or lines of attempts do.
      else if (row.open !== this.#isOpen(place, options)) return null;
      if (options.attempts && place.ref.kind === "run" && isAgain(doc as Run) !== this.#again.has(place.ref.id)) return null;
    }
    const rows = this.#rows.slice();
    let isAnother = false;
    for (const place of fresh) {
      fresh.delete(place);
      if (!isShown(place)) continue;
      let at = this.#placeIn(rows, place, fresh);
      if (at < 0) return null;
      const key = this.#attemptOf(place);
      const attempt = key && this.#attempts.get(key);
      if (attempt && rows.lastIndexOf(attempt) >= at) return null;
      if (key && !attempt) rows.splice(at++, 0, this.#attempt(key, place));
      rows.splice(at, 0, this.#row(place, options));
      isAnother = true;
    }
    const done = new Set<Place>();
    for (const place of this.#changed) {
      let at = rows.length - 1;
      for (let up: Place | null = place; up?.above && !done.has(up); up = up.above) {
        done.add(up);
        const before = up.row;
        // It is below something that is closed.
        if (!before) continue;
        const row = this.#row(up, options);
        if (row === before && up !== place) continue;
        const found = rows.lastIndexOf(before, at);
        if (found < 0) continue;
        at = found;
        isAnother ||= row !== before;
        rows[at] = row;
      }
    }
    return isAnother ? rows : this.#rows;
  }

  /** Where a new place belongs: behind its sibling and all that is shown below that, or behind what it stands below. */
  #placeIn(rows: readonly Row[], place: Place, fresh: ReadonlySet<Place>): number {
    const above = place.above!;
    if (place.at === 0) return above.above ? rows.lastIndexOf(above.row!) + 1 || -1 : 0;
    let before = above.below[place.at - 1]!;
    while (before.row?.open) {
      const last = before.below.findLast((one) => !fresh.has(one));
      if (!last) break;
      before = last;
    }
    return before.row ? rows.lastIndexOf(before.row) + 1 || -1 : -1;
  }

  /** The row of a place; the one that was last made of it, if that is right. */
  #row(place: Place, options: RowOptions): Row {
    const { ref, doc, depth, descendants, errors, row } = place;
    const open = this.#isOpen(place, options);
    const message = ref.kind === "step" && isMessage(doc as Step);
    if (row?.open === open && row.descendants === descendants && row.errors === errors && row.depth === depth && row.message === message) return row;
    const key = ref.kind === "run" ? `run:${ref.id}` : ref.id;
    return (place.row = { key, id: ref.id, kind: ref.kind as "step" | "run", depth, open, descendants, errors, message, attempt: 0 });
  }

  #isOpen({ ref }: Place, { isOpen = ({ id }) => this.#store.isOpen(id) }: RowOptions): boolean {
    return ref.kind === "step" && isOpen(this.#store.step(ref.id)!);
  }

  /** The key of the line of an attempt, if a step may be the first of it: nothing of it stands above the step. */
  #attemptOf({ ref, doc, above }: Place): string | null {
    const { run_id, attempt } = doc as Step;
    if (ref.kind !== "step" || !run_id || attempt < 1 || !this.#again.has(run_id)) return null;
    const { run_id: runAbove, attempt: attemptAbove } = above!.doc as Step;
    return runAbove === run_id && attemptAbove === attempt ? null : `attempt:${run_id}:${attempt}`;
  }

  #attempt(key: string, { doc, depth }: Place, known?: Row): Row {
    const { run_id, attempt } = doc as Step;
    const row: Row = known?.depth === depth ? known : { ...NONE, key, id: run_id!, kind: "attempt", depth, open: true, attempt };
    this.#attempts.set(key, row);
    return row;
  }

  #wanted(where: (step: Step) => boolean): Set<Place> {
    const wanted = new Set<Place>();
    for (const place of this.#store.tree.within(null)) {
      const found = place.ref.kind === "step" && where(this.#store.step(place.ref.id)!);
      for (let up: Place | null = found ? place : null; up && !wanted.has(up); up = up.above) wanted.add(up);
    }
    return wanted;
  }
}

const NONE = { depth: 0, descendants: 0, errors: 0, message: false, attempt: 0 };
const isAgain = ({ attempt }: Run) => attempt > 1;
const isMessage = ({ type }: Step) => type.endsWith("_message");

function isShown({ above }: Place): boolean {
  for (let up = above; up?.above; up = up.above) if (!up.row?.open) return false;
  return true;
}

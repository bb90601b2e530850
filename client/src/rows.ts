import type { Store } from "./store.js";
import { shared } from "./tolerance.js";
import { walk, type Place } from "./tree.js";
import type { Step } from "./vocabulary.js";

/** A line of the tree. */
export interface Row {
  readonly id: string;
  readonly kind: "step" | "run";
  readonly depth: number;
  /** Whether what is below it is shown. */
  readonly open: boolean;
  /** How many runs and steps stand below it, at any depth, shown or not. */
  readonly descendants: number;
  /** How many steps below it have failed, shown or not. */
  readonly errors: number;
}

export interface RowOptions {
  /** Whether a step shows what is below it; by default {@link Store.isOpen}. */
  readonly isOpen?: ((step: Step) => boolean) | undefined;
  /** Which steps are shown: those for which it is true, and all above them. Without it, all steps and runs. */
  readonly where?: ((step: Step) => boolean) | undefined;
}

/** The rows of a store. They are made again after a change; a row that has not changed stays the same object. */
export class Rows {
  readonly #store: Store;
  #version = -1;
  #options: RowOptions = {};
  #rows: readonly Row[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  list(options: RowOptions, version: number): readonly Row[] {
    const { isOpen, where } = this.#options;
    if (version !== this.#version || options.isOpen !== isOpen || options.where !== where) {
      this.#version = version;
      this.#options = options;
      this.#rows = shared(this.#rows, this.#make(options));
    }
    return this.#rows;
  }

  #make({ isOpen = ({ id }) => this.#store.isOpen(id), where }: RowOptions): Row[] {
    const store = this.#store;
    const wanted = where && this.#wanted(where);
    const rows: Row[] = [];
    walk(store.tree.roots, (place) => {
      if (wanted && !wanted.has(place)) return false;
      const { ref, depth, descendants, errors, row } = place;
      const { id } = ref;
      const isStep = ref.kind === "step";
      const open = isStep && isOpen(store.step(id)!);
      const same = row?.open === open && row.descendants === descendants && row.errors === errors && row.depth === depth;
      rows.push(same ? row : (place.row = { id, kind: isStep ? "step" : "run", depth, open, descendants, errors }));
      return open;
    });
    for (const id of store.echoes) rows.push({ id, kind: "step", depth: 0, open: true, descendants: 0, errors: 0 });
    return rows;
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

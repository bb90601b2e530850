import type { Store } from "./store.js";
import { shared } from "./tolerance.js";
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
  #known = new Map<string, Row>();

  constructor(store: Store) {
    this.#store = store;
  }

  list(options: RowOptions, version: number): readonly Row[] {
    const { isOpen, where } = this.#options;
    if (version !== this.#version || options.isOpen !== isOpen || options.where !== where) {
      this.#version = version;
      this.#options = options;
      const rows = this.#make(options).map((row) => this.#kept(row));
      this.#known = new Map(rows.map((row) => [keyOf(row), row]));
      this.#rows = shared(this.#rows, rows);
    }
    return this.#rows;
  }

  #kept(row: Row): Row {
    const known = this.#known.get(keyOf(row));
    const same =
      known?.depth === row.depth && known.open === row.open && known.descendants === row.descendants && known.errors === row.errors;
    return known && same ? known : row;
  }

  #make({ isOpen, where }: RowOptions): Row[] {
    const store = this.#store;
    const { places } = store.tree;
    const wanted = where && this.#wanted(where);
    const rows: Row[] = [];
    for (let at = 0; at < places.length; at += 1) {
      const { ref, depth, descendants, errors } = places[at]!;
      if (wanted && !wanted.has(at)) continue;
      const isStep = ref.kind === "step";
      const open = isStep && (isOpen ? isOpen(store.step(ref.id)!) : store.isOpen(ref.id));
      rows.push({ id: ref.id, kind: isStep ? "step" : "run", depth, open, descendants, errors });
      if (!open) at += descendants;
    }
    for (const id of store.echoes) rows.push({ id, kind: "step", depth: 0, open: true, descendants: 0, errors: 0 });
    return rows;
  }

  #wanted(where: (step: Step) => boolean): Set<number> {
    const { places } = this.#store.tree;
    const wanted = new Set<number>();
    for (let at = places.length - 1; at >= 0; at -= 1) {
      const { ref, above } = places[at]!;
      if (!wanted.has(at) && !(ref.kind === "step" && where(this.#store.step(ref.id)!))) continue;
      wanted.add(at);
      if (above >= 0) wanted.add(above);
    }
    return wanted;
  }
}

const keyOf = ({ kind, id }: Pick<Row, "kind" | "id">) => `${kind}:${id}`;

import type { Documents, Ref } from "./documents.js";
import { shared } from "./tolerance.js";
import type { Run, Step } from "./vocabulary.js";

/** A run or step where it is shown. */
export interface Place {
  readonly ref: Ref;
  readonly doc: Run | Step;
  readonly depth: number;
  /** Where the one above it stands in the tree's order; -1 at the top. */
  readonly above: number;
  /** How many stand below it, at any depth: they follow it in the tree's order. */
  descendants: number;
  /** How many of these have failed. */
  errors: number;
}

/** All runs and steps in the order in which a page shows them: each before all that stands below it. */
export class Tree {
  readonly places: readonly Place[];
  readonly children: ReadonlyMap<string | null, readonly Ref[]>;
  readonly #at = new Map<string, number>();

  /** @param previous whose lists of children are kept where nothing has changed in them */
  constructor(documents: Documents, previous?: Tree) {
    const nodes = documents.nodes();
    const below = new Map<string | null, typeof nodes>();
    for (const node of nodes) add(below, node.parent !== null && documents.get("step", node.parent) ? node.parent : null, node);
    const places: Place[] = [];
    const placed = new Set<Ref>();
    const lay = (start: typeof nodes) => {
      const waiting = start.map((node) => ({ node, above: -1 })).reverse();
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const { node, above } = next;
        if (placed.has(node.ref)) continue;
        placed.add(node.ref);
        const at = places.length;
        places.push({ ref: node.ref, doc: node.doc, depth: above < 0 ? 0 : places[above]!.depth + 1, above, descendants: 0, errors: 0 });
        if (node.ref.kind !== "step") continue;
        this.#at.set(node.ref.id, at);
        const children = below.get(node.ref.id) ?? [];
        for (let i = children.length - 1; i >= 0; i -= 1) waiting.push({ node: children[i]!, above: at });
      }
    };
    lay(below.get(null) ?? []);
    // Data from outside may close a circle, which then hangs below nothing.
    if (placed.size < nodes.length) for (const node of nodes) if (!placed.has(node.ref)) lay([node]);
    this.places = places;
    for (let at = places.length - 1; at >= 0; at -= 1) {
      const { above, descendants, errors, doc } = places[at]!;
      if (above < 0) continue;
      places[above]!.descendants += descendants + 1;
      places[above]!.errors += errors + (doc.status === "error" ? 1 : 0);
    }
    this.children = this.#lists(previous);
  }

  /** The place of a step. */
  of(stepId: string): Place | undefined {
    return this.places[this.#at.get(stepId) ?? -1];
  }

  /** A step, and all below it; everything for null. */
  within(stepId: string | null): readonly Place[] {
    if (stepId === null) return this.places;
    const at = this.#at.get(stepId);
    return at === undefined ? [] : this.places.slice(at, at + 1 + this.places[at]!.descendants);
  }

  /** The ids of the steps above a step, from the top, and its own. */
  path(stepId: string): string[] {
    const path: string[] = [];
    for (let place = this.of(stepId); place; place = this.places[place.above]) path.unshift(place.ref.id);
    return path;
  }

  #lists(previous?: Tree): Map<string | null, readonly Ref[]> {
    const lists = new Map<string | null, Ref[]>();
    for (const { ref, above } of this.places) add(lists, this.places[above]?.ref.id ?? null, ref);
    if (!previous) return lists;
    const kept = new Map<string | null, readonly Ref[]>(lists);
    for (const [parent, list] of lists) kept.set(parent, shared(previous.children.get(parent), list));
    return kept;
  }
}

function add<K, T>(lists: Map<K, T[]>, key: K, item: T): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}

import type { Documents, Kind, Ref } from "./documents.js";
import type { Row } from "./rows.js";
import type { Run, Step } from "./vocabulary.js";

/** A run or step where it is shown. */
export interface Place {
  readonly ref: Ref;
  doc: Run | Step;
  /** The step that it names as the one above, whether or not that is there. */
  readonly parent: string | null;
  above: Place | null;
  readonly below: Place[];
  depth: number;
  /** How many stand below it, at any depth. */
  descendants: number;
  /** How many of these have failed. */
  errors: number;
  /** The line that was last made of it. */
  row?: Row | undefined;
}

/**
 * All runs and steps where a page shows them. Most events (something begins, goes on, ends) change one place and
 * those above it; after any other event the tree is rebuilt.
 */
export class Tree {
  readonly roots: Place[] = [];
  readonly #places = new Map<string, Place>();
  /** Steps that were named as the one above, and were not there. */
  readonly #missing = new Set<string>();

  /** @param previous whose lines are kept where nothing has changed in them */
  constructor(documents: Documents, previous?: Tree) {
    for (const { ref, doc, parent } of documents.nodes()) this.#make(ref, doc, parent).row = previous?.of(ref.id, ref.kind)?.row;
    const all = this.#places;
    for (const [, place] of all) {
      place.above = this.of(place.parent) ?? null;
      if (!place.above && place.parent) this.#missing.add(place.parent);
      (place.above?.below ?? this.roots).push(place);
    }
    const laid = new Set<Place>();
    const lay = (start: readonly Place[]) =>
      walk(start, (place) => {
        place.depth = place.above ? place.above.depth + 1 : 0;
        return laid.size < laid.add(place).size;
      });
    lay(this.roots);
    // Data from outside may close a circle, which then hangs below nothing.
    if (laid.size < all.size) {
      for (const [, place] of all) {
        if (laid.has(place)) continue;
        const { below } = place.above!;
        below.splice(below.indexOf(place), 1);
        place.above = null;
        this.roots.push(place);
        lay([place]);
      }
    }
    for (const { above, descendants, errors, doc } of [...laid].reverse()) {
      if (!above) continue;
      above.descendants += descendants + 1;
      above.errors += errors + failed(doc);
    }
  }

  /**
   * Takes a change of a document, if it is one that leaves all others in their places.
   *
   * @returns whether it was one
   */
  take(ref: Ref, parent: string | null, before: Run | Step | undefined, after: Run | Step | undefined): boolean {
    if (!after) return false;
    let place = this.of(ref.id, ref.kind);
    const above = this.of(parent);
    // Of one that has moved, Documents tells twice.
    if (!place !== !before || (place ? place.parent !== parent : above === undefined || this.#missing.has(ref.id))) return false;
    const errors = failed(after) - (place ? failed(place.doc) : 0);
    if (place) place.doc = after;
    else {
      place = this.#make(ref, after, parent);
      place.above = above!;
      place.depth = above ? above.depth + 1 : 0;
      (above?.below ?? this.roots).push(place);
    }
    for (let up = place.above; up; up = up.above) {
      up.errors += errors;
      if (!before) up.descendants += 1;
    }
    return true;
  }

  /** The place of a step, or of a run; null for null, the top. */
  of(id: string | null, kind: Kind = "step"): Place | null | undefined {
    return id === null ? id : this.#places.get(kind + id);
  }

  /** A step, and all below it, each before what stands below it; everything for null. */
  within(stepId: string | null): Place[] {
    const places: Place[] = [];
    const top = this.of(stepId);
    walk(top ? [top] : stepId === null ? this.roots : [], (place) => places.push(place) > 0);
    return places;
  }

  /** The ids of the steps above a step, from the top, and its own. */
  path(stepId: string): string[] {
    const path: string[] = [];
    for (let place = this.of(stepId); place; place = place.above) path.push(place.ref.id);
    return path.reverse();
  }

  #make(ref: Ref, doc: Run | Step, parent: string | null): Place {
    const place: Place = { ref, doc, parent, above: null, below: [], depth: 0, descendants: 0, errors: 0 };
    this.#places.set(ref.kind + ref.id, place);
    return place;
  }
}

/** Calls `into` with these places and all below them, in the order in which a page shows them; it says whether to go on below. */
export function walk(start: readonly Place[], into: (place: Place) => boolean): void {
  const waiting = [...start].reverse();
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    if (!into(place)) continue;
    for (let at = place.below.length - 1; at >= 0; at -= 1) waiting.push(place.below[at]!);
  }
}

const failed = ({ status }: Run | Step) => +(status === "error");

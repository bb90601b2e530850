import type { Documents, Kind, Ref } from "./documents.js";
import type { Row } from "./rows.js";
import { shared } from "./tolerance.js";
import { counted, moved, NOTHING, type Usage } from "./used.js";
import type { Run, Step } from "./vocabulary.js";

/** A run or step where it is shown. */
export interface Place {
  readonly ref: Ref;
  doc: Run | Step;
  /** The step that it names as the one above, whether or not that is there. */
  readonly parent: string | null;
  /** What it stands below; null: it is the top itself, which is no step and no run. */
  above: Place | null;
  readonly below: Place[];
  /** Which of its siblings it is. */
  at: number;
  depth: number;
  /** How many stand below it, at any depth. */
  descendants: number;
  /** How many of these have failed. */
  errors: number;
  /** What these have used; and with the place itself. */
  usedBelow: Usage;
  used: Usage;
  /** The line that was last made of it. */
  row?: Row | undefined;
  /** What stands below it, for those who ask: the same list until it changes. */
  refs?: readonly Ref[] | undefined;
  position?: { readonly at: number; readonly of: number } | undefined;
}

/**
 * All runs and steps where a page shows them. Most events (something begins, goes on, ends) change one place and
 * those above it; after any other event the tree is rebuilt.
 */
export class Tree {
  /** What all others stand below. */
  readonly top = placeOf({ kind: "step", id: "" }, {} as Step, null);
  /** Grows when something has failed, or has not any more. */
  failures = 0;
  readonly #places = new Map<string, Place>();
  /** Steps that were named as the one above, and were not there. */
  readonly #missing = new Set<string>();

  /** @param previous whose lines are kept where nothing has changed in them */
  constructor(documents: Documents, previous?: Tree) {
    this.top.depth = -1;
    for (const { ref, doc, parent } of documents.nodes()) keep(this.#make(ref, doc, parent), previous?.of(ref.id, ref.kind));
    keep(this.top, previous?.top);
    const all = this.#places;
    for (const [, place] of all) {
      const above = this.of(place.parent);
      if (!above) this.#missing.add(place.parent!);
      stand(place, above ?? this.top);
    }
    const laid = new Set<Place>();
    const lay = (start: readonly Place[]) =>
      walk(start, (place) => {
        place.depth = place.above!.depth + 1;
        return laid.size < laid.add(place).size;
      });
    lay(this.top.below);
    // Data from outside may close a circle, which then hangs below nothing.
    if (laid.size < all.size) {
      for (const [, place] of all) {
        if (laid.has(place)) continue;
        const { below } = place.above!;
        below.splice(place.at, 1);
        below.forEach((one, at) => (one.at = at));
        stand(place, this.top);
        lay([place]);
      }
    }
    for (const place of [...laid].reverse()) {
      const { above, descendants, errors, doc } = place;
      above!.descendants += descendants + 1;
      above!.errors += errors + failed(doc);
      place.used = counted(doc, place.usedBelow);
      above!.usedBelow = moved(above!.usedBelow, NOTHING, place.used);
    }
    this.top.used = this.top.usedBelow;
    for (const place of [this.top, ...laid]) if (place.refs) place.refs = shared(place.refs, listed(place));
  }

  /**
   * Takes a change of a document, if it is one that leaves all others in their places.
   *
   * @returns the place that has changed or is new; null if it was another change
   */
  take(ref: Ref, parent: string | null, before: Run | Step | undefined, after: Run | Step | undefined): Place | null {
    if (!after) return null;
    let place = this.of(ref.id, ref.kind);
    const above = this.of(parent);
    // Of one that has moved, Documents tells twice.
    if (!place !== !before || (place ? place.parent !== parent : above === undefined || this.#missing.has(ref.id))) return null;
    const errors = failed(after) - (place ? failed(place.doc) : 0);
    if (place) place.doc = after;
    else {
      place = this.#make(ref, after, parent);
      stand(place, above!);
      place.depth = above!.depth + 1;
      above!.refs = undefined;
    }
    if (errors) this.failures += 1;
    if (errors || !before) {
      for (let up = place.above; up; up = up.above) {
        up.errors += errors;
        if (!before) up.descendants += 1;
      }
    }
    use(place);
    return place;
  }

  /** The place of a step, or of a run; the top for null. */
  of(id: string | null, kind: Kind = "step"): Place | undefined {
    return id === null ? this.top : this.#places.get(kind + id);
  }

  /** A step, and all below it, each before what stands below it; everything for null. */
  within(stepId: string | null): Place[] {
    const places: Place[] = [];
    const start = this.of(stepId);
    walk(start === this.top ? start.below : start ? [start] : [], (place) => places.push(place) > 0);
    return places;
  }

  /** The ids of the steps above a step, from the top, and its own. */
  path(stepId: string): string[] {
    const path: string[] = [];
    for (let place = this.of(stepId); place?.above; place = place.above) path.push(place.ref.id);
    return path.reverse();
  }

  #make(ref: Ref, doc: Run | Step, parent: string | null): Place {
    const place = placeOf(ref, doc, parent);
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

/** What stands below a place. */
export function refsOf(place: Place): readonly Ref[] {
  return (place.refs ??= listed(place));
}

/** Which of its siblings a place is, and of how many. */
export function positionAmong(place: Place): { readonly at: number; readonly of: number } {
  const { at, above, position } = place;
  const of = above!.below.length;
  return position?.of === of && position.at === at ? position : (place.position = { at, of });
}

const listed = ({ below }: Place) => below.map(({ ref }) => ref);

function placeOf(ref: Ref, doc: Run | Step, parent: string | null): Place {
  return { ref, doc, parent, above: null, below: [], at: 0, depth: 0, descendants: 0, errors: 0, usedBelow: NOTHING, used: NOTHING, row: undefined, refs: undefined, position: undefined };
}

function stand(place: Place, above: Place): void {
  place.above = above;
  place.at = above.below.push(place) - 1;
}

/** Counts what a place has used, for all above it. */
function use(place: Place): void {
  for (let at: Place | null = place; at; at = at.above) {
    const [before, after]: [Usage, Usage] = [at.used, counted(at.doc, at.usedBelow)];
    if (before.tokens === after.tokens && before.cost === after.cost) return;
    at.used = after;
    if (at.above) at.above.usedBelow = moved(at.above.usedBelow, before, after);
  }
}

function keep(place: Place, before: Place | undefined): void {
  place.row = before?.row;
  place.refs = before?.refs;
}

const failed = ({ status }: Run | Step) => +(status === "error");

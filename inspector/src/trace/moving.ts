import type { Ref, Store } from "stepwire";
import type { Item } from "./items";

/** Where a key leads to from a row of the tree (WAI-ARIA, tree view pattern); null for any other key. */
export function target(list: readonly Item[], at: number, key: string, isRightToLeft: boolean, page: number): number | "open" | "close" | "select" | null {
  const item = list[at]!;
  const last = list.length - 1;
  const [inward, outward] = isRightToLeft ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
  const hasChildren = item.descendants > 0;
  switch (key) {
    case "ArrowDown":
      return Math.min(at + 1, last);
    case "ArrowUp":
      return Math.max(at - 1, 0);
    case "PageDown":
      return Math.min(at + Math.max(1, page), last);
    case "PageUp":
      return Math.max(at - Math.max(1, page), 0);
    case "Home":
      return 0;
    case "End":
      return last;
    case "Enter":
    case " ":
      return "select";
    case inward:
      if (!item.open) return item.kind === "step" || item.kind === "message" ? "open" : null;
      return hasChildren ? Math.min(at + 1, last) : item.kind === "step" ? "open" : null;
    case outward:
      return item.open && hasChildren ? "close" : aboveOf(list, at);
    default:
      return null;
  }
}

/** The row that stands above one in the tree; itself at the top. */
export function aboveOf(list: readonly Item[], at: number): number {
  const { depth } = list[at]!;
  for (let above = at - 1; above >= 0; above -= 1) if (list[above]!.depth < depth) return above;
  return at;
}

/** Which of its siblings a row is, from 1, and how many there are: of a list of which a window alone is in the page. */
export function placeOf(store: Store, { kind, id }: Item): { readonly at: number; readonly of: number } {
  if (kind === "attempt") return { at: 1, of: 1 };
  const parent = kind === "run" ? store.run(id)?.message_id : store.step(id)?.parent_id;
  const siblings = store.children(parent && store.step(parent) ? parent : null);
  let places = known.get(siblings);
  if (!places) known.set(siblings, (places = new Map(siblings.map((one, at) => [one.id, at]))));
  // A message that is being sent is the last one.
  const at = places.get(id) ?? siblings.length;
  return { at: at + 1, of: Math.max(siblings.length, at + 1) };
}

/** A list of siblings stays the same object until it changes. */
const known = new WeakMap<readonly Ref[], ReadonlyMap<string, number>>();

import type { Row } from "stepwire";

/** Where a key leads to from a row of the tree (WAI-ARIA, tree view pattern); null for any other key. */
export function target(list: readonly Row[], at: number, key: string, isRightToLeft: boolean, page: number): number | "open" | "close" | "select" | null {
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
      if (!item.open) return item.kind === "step" ? "open" : null;
      return hasChildren ? Math.min(at + 1, last) : item.kind === "step" && !item.message ? "open" : null;
    case outward:
      return item.open && hasChildren ? "close" : aboveOf(list, at);
    default:
      return null;
  }
}

/** The row that stands above one in the tree; itself at the top. */
function aboveOf(list: readonly Row[], at: number): number {
  const { depth } = list[at]!;
  for (let above = at - 1; above >= 0; above -= 1) if (list[above]!.depth < depth) return above;
  return at;
}

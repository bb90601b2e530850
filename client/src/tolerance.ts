import type { Kind, Kinds } from "./documents.js";

type Fields = Record<string, unknown>;

/**
 * The document as its type has it, however another version or a fault has written it; the object
 * `before` itself if nothing has changed.
 */
export function whole<K extends Kind>(kind: K, document: Kinds[K], before: Kinds[K] | undefined): Kinds[K] {
  if (before && equal(before, document)) return before;
  const mended: Fields = {};
  const mend = (field: string, value: unknown) => {
    if (value !== (document as unknown as Fields)[field]) mended[field] = value;
  };
  const { input, output, tags, metadata, error, actions, accept } = document as unknown as Fields;
  if (kind === "step") {
    mend("input", text(input));
    mend("output", text(output));
    mend("tags", list(tags));
    mend("metadata", isObject(metadata) ? metadata : {});
    mend("error", isObject(error) ? error : null);
  } else if (kind === "ask") {
    mend("actions", list(actions, isObject));
    mend("accept", list(accept, (item) => typeof item === "string"));
  }
  return Object.keys(mended).length > 0 ? { ...document, ...mended } : document;
}

function list(value: unknown, fits: (item: unknown) => boolean = () => true): unknown[] {
  if (!Array.isArray(value)) return [];
  return value.every(fits) ? value : value.filter(fits);
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value ?? "", null, 2).replace(/^""$/, ""));
export const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether two values are the same JSON. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => equal((a as Fields)[key], (b as Fields)[key]));
}

/** The list `before` itself if `list` has the same items. */
export function shared<T>(before: readonly T[] | null | undefined, list: readonly T[]): readonly T[] {
  return before?.length === list.length && list.every((item, at) => item === before[at]) ? before : list;
}

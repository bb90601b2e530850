import vocabulary from "./vocabulary.json" with { type: "json" };

/**
 * The kinds of documents, and the events that tell of them: made from stepwire_core/wire/kinds.py.
 *
 * @typedef {{name: string, list: string, id: string, parent: string | null, removing: string | null}} Kind
 * @typedef {{kind: string | null, effect: "put" | "text" | "remove" | "replace"}} EventType
 */

/** @type {Kind[]} in the order of a snapshot */
export const KINDS = Object.entries(vocabulary.kinds).map(([name, kind]) => ({ name, ...kind }));

/** Every event that a stream may carry, by its type. @type {Record<string, EventType>} */
export const EVENTS = vocabulary.events;

/** The kinds whose documents stand with steps. */
export const ATTACHED_KINDS = KINDS.filter(({ name }) => name !== "run" && name !== "step");

/** @param {string} name @returns {Kind} */
export function kindOf(name) {
  const kind = KINDS.find((known) => known.name === name);
  if (!kind) throw new Error(`the vocabulary has no kind ${name}`);
  return kind;
}

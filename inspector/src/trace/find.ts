import type { Step, Store } from "stepwire";
import type { Where } from "./items";
import { isMessage } from "./open";

/** What is looked for. Words find; the rest hides what does not fit. */
export interface Query {
  readonly words: string;
  readonly type: string;
  readonly status: string;
  /** At least so long. */
  readonly seconds: number;
  /** The words hide what they do not find, too. */
  readonly isStrict: boolean;
}

export const NO_QUERY: Query = { words: "", type: "", status: "", seconds: 0, isStrict: false };

const AROUND_CHARS = 60;

/** Which steps are shown; null: all. It is the same function as long as the query is. */
export function whereOf({ words, type, status, seconds, isStrict }: Query, now: () => number): Where | null {
  const tests: Where[] = [];
  if (type) tests.push((step) => step.type === type);
  if (status) tests.push((step) => step.status === status);
  if (seconds > 0) tests.push((step) => (step.ended_at ? Date.parse(step.ended_at) : now()) - Date.parse(step.started_at) >= seconds * 1000);
  if (isStrict && words) tests.push(has(words));
  if (tests.length === 0) return null;
  return (step) => tests.every((test) => test(step));
}

/** Whether a step has these words, whatever their case: in its name, texts, error, tags or ids. */
export function has(words: string): Where {
  const wanted = words.toLowerCase();
  const fits = (text: string) => text.toLowerCase().includes(wanted);
  return ({ name, input, output, error, tags, id, run_id, metadata }) =>
    fits(name) || fits(output) || fits(input) || tags.some((tag) => fits(String(tag))) || fits(id) || (run_id !== null && fits(run_id)) ||
    (error !== null && fits(`${error.type} ${error.message}`)) || (Object.keys(metadata).length > 0 && fits(JSON.stringify(metadata)));
}

/** Where words are in a text, whatever their case. */
export function* wordsIn(text: string, words: string): Generator<readonly [from: number, to: number]> {
  if (!words) return;
  const escaped = words.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  for (const { 0: found, index } of text.matchAll(new RegExp(escaped, "giu"))) yield [index, index + found.length];
}

/** What stands around the first of these words in a step, in one line. */
export function around({ name, output, input, error }: Step, words: string): string {
  for (const text of [output, input, error?.message ?? "", name]) {
    for (const [from, to] of wordsIn(text, words)) return text.slice(Math.max(0, from - AROUND_CHARS), to + AROUND_CHARS).replace(/\s+/g, " ").trim();
  }
  return "";
}

/**
 * Where the page shows these words of a step: in its line or message, in its text once that is open, or among its details
 * alone.
 */
export function seenIn(step: Step, hasChildren: boolean, words: string): "row" | "text" | "details" {
  const fits = (text: string) => text.toLowerCase().includes(words.toLowerCase());
  if (fits(step.name)) return "row";
  const isInText = fits(step.output) || (step.show_input !== false && fits(step.input));
  if (!isInText || (hasChildren && !isMessage(step))) return "details";
  return isMessage(step) ? "row" : "text";
}

/** The next of a list, or the one before; around its ends. */
export function following(list: readonly string[], current: string | null, by: 1 | -1): string | null {
  if (list.length === 0) return null;
  const at = current === null ? -1 : list.indexOf(current);
  return list[at < 0 ? (by === 1 ? 0 : list.length - 1) : (at + by + list.length) % list.length]!;
}

/** Looks for steps with these words that the query does not hide, in the order of the tree. It looks at a step again when that has changed. */
export function finder({ words }: Query, where: Where | null): (store: Store) => readonly string[] {
  if (!words.trim()) return () => [];
  const fits = has(words.trim());
  const known = new WeakMap<Step, boolean>();
  const isFound = (step: Step) => {
    let found = known.get(step);
    if (found === undefined) known.set(step, (found = fits(step) && (where === null || where(step))));
    return found;
  };
  return (store) => store.tree.within(null).flatMap(({ ref }) => (ref.kind === "step" && isFound(store.step(ref.id)!) ? [ref.id] : []));
}

/**
 * Where errors come from, in the order of the tree: failed steps without a failed step below them, and runs that failed
 * by themselves. A message that tells of an error is not where it comes from.
 */
export function faults(store: Store): readonly string[] {
  const failed: Store["tree"]["top"][] = [];
  const waiting = [...store.tree.top.below].reverse();
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    if (place.doc.status === "error") failed.push(place);
    if (place.errors > 0) for (const below of [...place.below].reverse()) waiting.push(below);
  }
  const causes = failed.filter(({ ref, doc, errors }) => ref.kind === "step" && errors === 0 && !isMessage(doc as Step));
  const told = new Set(causes.map(({ doc }) => doc.run_id));
  const runs = failed.filter(({ ref, doc }) => ref.kind === "run" && !told.has(doc.run_id));
  return [...causes.map(({ ref }) => ref.id), ...runs.map(({ ref }) => `run:${ref.id}`)];
}

/** Whether a step has failed with what a step below it has failed with: that one is the cause. */
export function isPassedOn(store: Store, { id, error }: Step): boolean {
  if (error === null) return false;
  return store.tree.of(id)?.below.some(({ ref }) => {
    const below = ref.kind === "step" ? store.step(ref.id)?.error : null;
    return below?.type === error.type && below.message === error.message;
  }) ?? false;
}

/** All types, or statuses, that steps of the session have. */
export function wordsOf(store: Store, field: "type" | "status"): readonly string[] {
  return [...new Set(store.steps().map((step) => step[field]))].sort();
}


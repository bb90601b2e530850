import { following, type Following } from "./cursor.js";
import { isObject, shared, whole } from "./tolerance.js";
import { rounded } from "./used.js";
import { EVENTS, KINDS, type Ask, type EventData, type Feedback, type Run, type Snapshot, type Step, type StepAction, type StepElement, type TextDelta } from "./vocabulary.js";

/** An event of a stream; of one that this version does not know, `data` is whatever came. */
export type StreamEvent =
  | { [T in keyof EventData]: { readonly id: string; readonly type: T; readonly data: EventData[T] } }[keyof EventData]
  | { readonly id: string; readonly type: string & {}; readonly data: unknown };

/** The documents of a session, by their kind. */
export interface Kinds {
  run: Run;
  step: Step;
  element: StepElement;
  ask: Ask;
  feedback: Feedback;
  action: StepAction;
}
export type Kind = keyof Kinds;
type Document = Kinds[Kind];

/** A place of the tree. */
export interface Ref {
  readonly kind: Kind;
  readonly id: string;
}

interface Entry {
  doc: Document;
  readonly ref: Ref;
  /** Rises in the order of arrival, over all kinds. */
  readonly ordinal: number;
}

/** What became of a document; `text` if an event brought text alone. */
export type Note = (kind: Kind, id: string, parent: string | null, before: Document | undefined, after: Document | undefined, text: boolean) => void;

export const LIST = Object.fromEntries(KINDS.map((kind) => [kind.name, kind])) as unknown as Record<
  Kind,
  { name: Kind; list: Exclude<keyof Snapshot, "session_id" | "cursor" | "v">; id: "id"; parent?: "parent_id"; removing?: "value" }
>;
const NAMES = KINDS.map(({ name }) => name) as readonly Kind[];

/**
 * The documents of one session, and the one place that says what each event does to them.
 *
 * A document is never changed: an event puts another in its place. All others stay the same objects.
 */
export class Documents {
  /** Where the stream stands: the id of the last event, empty before the first. */
  cursor = "";
  readonly #tables = Object.fromEntries(NAMES.map((kind) => [kind, new Map()])) as Record<Kind, Map<string, Entry>>;
  /** The ids of what names a step as the one that it stands below, whether that is there or not. */
  readonly #below = Object.fromEntries(NAMES.map((kind) => [kind, new Map()])) as Record<Kind, Map<string | null, Set<string>>>;
  /** What the runs have used, and the steps outside of runs. */
  used: Snapshot["usage"] = NONE_USED;
  readonly #note: Note;
  #session = "";
  #ordinal = 0;

  constructor(note: Note = () => {}) {
    this.#note = note;
  }

  get<K extends Kind>(kind: K, id: string): Kinds[K] | undefined {
    return this.#tables[kind].get(id)?.doc as Kinds[K] | undefined;
  }

  /** All of a kind, in the order of a snapshot. */
  all<K extends Kind>(kind: K): Kinds[K][] {
    return Array.from(this.#tables[kind].values(), ({ doc }) => doc as Kinds[K]);
  }

  count(kind: Kind): number {
    return this.#tables[kind].size;
  }

  /** What names this step as its own, in the order of a snapshot; null: no step. */
  of<K extends Kind>(kind: K, stepId: string | null): Kinds[K][] {
    const table = this.#tables[kind];
    return Array.from(this.#below[kind].get(stepId) ?? [], (id) => table.get(id)!)
      .sort((a, b) => a.ordinal - b.ordinal)
      .map(({ doc }) => doc as Kinds[K]);
  }

  /** Runs and steps as they came, each with the step that it names as the one above it. */
  nodes(): { ref: Ref; doc: Run | Step; parent: string | null }[] {
    return [...this.#tables.run.values(), ...this.#tables.step.values()]
      .sort((a, b) => a.ordinal - b.ordinal)
      .map(({ ref, doc }) => ({ ref, doc: doc as Run | Step, parent: parentOf(ref.kind, doc) }));
  }

  /**
   * Takes the next event. One that was there before changes nothing. A type that is not known moves
   * the cursor alone, and so does a document that is none: it costs itself, not the session.
   *
   * @returns "gap" if events are missing before this one; it is applied nevertheless
   */
  take(event: StreamEvent): Following {
    const effect = EVENTS[event.type as keyof EventData];
    const kind = event.type.split(".")[0] as Kind;
    const follows = effect === "replace" ? "next" : following(this.cursor, event.id);
    if (follows === "again") return follows;
    this.cursor = event.id;
    const { data } = event;
    if (!isObject(data)) return follows;
    if (effect === "replace") this.#replaceAll(data as unknown as Snapshot);
    else if (effect === "put") this.#put(kind, data as unknown as Document);
    else if (effect === "text") this.#write(data as unknown as TextDelta);
    else if (effect === "remove") this.#remove(kind, data["id"] as string);
    return follows;
  }

  /** Everything at the cursor. A list in which nothing has changed is that of `previous`. */
  snapshot(previous: Partial<Snapshot>): Snapshot {
    const steps = [...this.#tables.step.values()];
    let at = 0;
    const counts = Array.from(this.#tables.run.values(), ({ ordinal }) => {
      while (steps[at]?.ordinal! < ordinal) at += 1;
      return at;
    });
    const lists: Record<string, readonly unknown[]> = { steps_before_runs: counts };
    for (const kind of NAMES) lists[LIST[kind].list] = this.all(kind);
    for (const name in lists) lists[name] = shared((previous as typeof lists)[name], lists[name]!);
    return { v: 1, ...previous, ...lists, session_id: this.#session, cursor: this.cursor, usage: this.used } as Snapshot;
  }

  #replaceAll(snapshot: Snapshot): void {
    this.#session = snapshot.session_id ?? "";
    this.used = NONE_USED;
    const before = { ...this.#tables };
    for (const kind of NAMES) {
      this.#tables[kind] = new Map();
      this.#below[kind] = new Map();
    }
    // An unchanged document stays the same object, so that no page renders it again.
    const put = (kind: Kind, documents: readonly Document[]) => {
      for (const doc of documents) this.#put(kind, doc, before[kind].get(idOf(kind, doc)));
    };
    const steps = documentsOf("step", snapshot);
    let at = 0;
    documentsOf("run", snapshot).forEach((run, place) => {
      // An older gateway does not tell it.
      const until = Math.max(at, snapshot.steps_before_runs?.[place] ?? 0);
      put("step", steps.slice(at, until));
      put("run", [run]);
      at = until;
    });
    put("step", steps.slice(at));
    for (const kind of NAMES.slice(2)) put(kind, documentsOf(kind, snapshot));
    for (const kind of NAMES) {
      for (const [id, { doc }] of before[kind]) {
        if (!this.#tables[kind].has(id)) this.#note(kind, id, parentOf(kind, doc), doc, undefined, false);
      }
    }
  }

  #put(kind: Kind, document: Document, known?: Entry): void {
    const id = idOf(kind, document);
    if (typeof id !== "string") return;
    const { removing } = LIST[kind];
    if (removing && (document as Feedback)[removing] === null) return this.#remove(kind, id);
    const table = this.#tables[kind];
    const entry = table.get(id);
    const before = entry?.doc ?? known?.doc;
    const doc = whole(kind, document, before);
    const parent = parentOf(kind, doc);
    this.#use(kind, entry?.doc, doc);
    if (entry) {
      this.#leave(kind, id, parentOf(kind, entry.doc));
      entry.doc = doc;
    } else {
      table.set(id, { doc, ref: known?.ref ?? { kind, id }, ordinal: this.#ordinal++ });
    }
    const below = this.#below[kind];
    below.set(parent, (below.get(parent) ?? new Set()).add(id));
    const left = before && parentOf(kind, before);
    if (before && left !== parent) this.#note(kind, id, left!, before, doc, false);
    if (before !== doc) this.#note(kind, id, parent, before, doc, false);
  }

  #write({ id, field, text, replace }: TextDelta): void {
    const entry = this.#tables.step.get(id);
    if (!entry || (field !== "output" && field !== "input")) return;
    const before = entry.doc as Step;
    const streamed = field as "output" | "input";
    entry.doc = { ...before, [streamed]: replace ? text : before[streamed] + text };
    this.#note("step", id, before.parent_id, before, entry.doc, true);
  }

  /** A step goes with all below it, whether or not it was ever there itself. */
  #remove(kind: Kind, top: string): void {
    const doomed = [top];
    for (let id = doomed.pop(); id !== undefined; id = doomed.pop()) {
      this.#drop(kind, id);
      if (kind !== "step") continue;
      for (const below of NAMES.slice(1)) {
        for (const one of [...(this.#below[below].get(id) ?? [])]) {
          if (below === "step") doomed.push(one);
          else this.#drop(below, one);
        }
      }
    }
  }

  #drop(kind: Kind, id: string): void {
    const before = this.#tables[kind].get(id)?.doc;
    if (!before) return;
    this.#tables[kind].delete(id);
    this.#use(kind, before, undefined);
    this.#leave(kind, id, parentOf(kind, before));
    this.#note(kind, id, parentOf(kind, before), before, undefined, false);
  }

  #use(kind: Kind, before: Document | undefined, after: Document | undefined): void {
    const [was, is] = [usageOf(kind, before), usageOf(kind, after)];
    if (was === is) return;
    const part = (name: "input_tokens" | "output_tokens" | "cost") => rounded(this.used[name] - (was?.[name] ?? 0) + (is?.[name] ?? 0));
    this.used = { input_tokens: part("input_tokens"), output_tokens: part("output_tokens"), cost: part("cost") };
  }

  #leave(kind: Kind, id: string, parent: string | null): void {
    const siblings = this.#below[kind].get(parent);
    siblings?.delete(id);
    if (!siblings?.size) this.#below[kind].delete(parent);
  }
}

function idOf(kind: Kind, document: Document): string {
  return (document as Step | null)?.[LIST[kind].id] as string;
}

/** The step that a document stands below: a run below the message that started it. */
function parentOf(kind: Kind, document: Document): string | null {
  return (kind === "run" ? (document as Run).message_id : (document as Step)[LIST[kind].parent!]) ?? null;
}

const NONE_USED: Snapshot["usage"] = { input_tokens: 0, output_tokens: 0, cost: 0 };

/** What a document counts for in its session: a run, and a step outside of runs. */
function usageOf(kind: Kind, document: Document | undefined): (Run | Step)["usage"] {
  return document && (kind === "run" || (kind === "step" && !(document as Step).run_id)) ? (document as Run | Step).usage ?? null : null;
}

function documentsOf(kind: Kind, snapshot: Snapshot): readonly Document[] {
  const list: unknown = snapshot[LIST[kind].list];
  return Array.isArray(list) ? list : [];
}

import { following, type Following } from "./cursor.js";
import { whole } from "./tolerance.js";
import { EVENTS, KINDS, type Ask, type EventData, type Feedback, type Run, type Snapshot, type Step, type StepElement, type TextDelta } from "./vocabulary.js";

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
}
export type Kind = keyof Kinds;
type Document = Kinds[Kind];
type Lists = Record<Kind, readonly Document[]>;

/** A place of the tree. There is one object for each run and step, for as long as it is there. */
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

const LIST = Object.fromEntries(KINDS.map((kind) => [kind.name, kind])) as unknown as Record<
  Kind,
  { name: Kind; list: "runs"; id: "id"; parent: "parent_id" | null; removing: "value" | null }
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
    const [kind, effect] = EVENTS[event.type as keyof EventData] ?? [];
    const follows = effect === "replace" ? "next" : following(this.cursor, event.id);
    if (follows === "again") return follows;
    this.cursor = event.id;
    const data = event.data as Record<string, unknown> | null;
    if (typeof data !== "object" || data === null) return follows;
    if (effect === "replace") this.#replaceAll(data as unknown as Snapshot);
    else if (effect === "put") this.#put(kind!, data as unknown as Document);
    else if (effect === "text") this.#write(data as unknown as TextDelta);
    else if (effect === "remove") this.#remove(kind!, data["id"] as string);
    return follows;
  }

  /** Everything at the cursor, but what it has used (see usage.ts). A list in which nothing has changed is that of `previous`. */
  snapshot(previous: Partial<Snapshot>): Snapshot {
    const lists = Object.fromEntries(
      NAMES.map((kind) => {
        const { list } = LIST[kind];
        const docs = this.all(kind);
        const before: readonly unknown[] = previous[list] ?? [];
        return [list, before.length === docs.length && docs.every((doc, at) => doc === before[at]) ? before : docs];
      }),
    );
    return { v: 1, ...previous, ...lists, session_id: this.#session, cursor: this.cursor, usage: undefined } as unknown as Snapshot;
  }

  #replaceAll(snapshot: Snapshot): void {
    this.#session = snapshot.session_id ?? "";
    const lists = Object.fromEntries(NAMES.map((kind) => [kind, documentsOf(kind, snapshot)])) as Lists;
    const before = NAMES.map((kind) => new Map(this.#tables[kind]));
    for (const kind of NAMES) {
      this.#tables[kind].clear();
      this.#below[kind].clear();
    }
    // A document that has not changed stays the same object, so that no page renders it again.
    const put = (kind: Kind, doc: Document) => this.#put(kind, doc, before[NAMES.indexOf(kind)]!.get(idOf(kind, doc)));
    const runs = [...(lists.run as Run[])];
    for (const step of lists.step as Step[]) {
      // A snapshot does not say how runs and steps interleave: a run comes before its first step.
      const begun = runs.findLastIndex((run) => step.run_id === run.run_id || run.started_at < step.started_at);
      for (const run of runs.splice(0, begun + 1)) put("run", run);
      put("step", step);
    }
    for (const run of runs) put("run", run);
    for (const kind of NAMES.slice(2)) for (const doc of lists[kind]) put(kind, doc);
    NAMES.forEach((kind, at) => {
      for (const [id, { doc }] of before[at]!) {
        if (!this.#tables[kind].has(id)) this.#note(kind, id, parentOf(kind, doc), doc, undefined, false);
      }
    });
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
    if (entry) {
      this.#leave(kind, id, parentOf(kind, entry.doc));
      entry.doc = doc;
    } else {
      table.set(id, { doc, ref: known?.ref ?? { kind, id }, ordinal: this.#ordinal++ });
    }
    const siblings = this.#below[kind].get(parent);
    if (siblings) siblings.add(id);
    else this.#below[kind].set(parent, new Set([id]));
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
    this.#leave(kind, id, parentOf(kind, before));
    this.#note(kind, id, parentOf(kind, before), before, undefined, false);
  }

  #leave(kind: Kind, id: string, parent: string | null): void {
    const siblings = this.#below[kind].get(parent);
    siblings?.delete(id);
    if (!siblings?.size) this.#below[kind].delete(parent);
  }
}

function idOf(kind: Kind, document: Document): string {
  return (document as Step)[LIST[kind].id];
}

/** The step that a document stands below: a run below the message that started it. */
function parentOf(kind: Kind, document: Document): string | null {
  return (kind === "run" ? (document as Run).message_id : (document as Step)[LIST[kind].parent!]) ?? null;
}

function documentsOf(kind: Kind, snapshot: Snapshot): readonly Document[] {
  const list: unknown = snapshot[LIST[kind].list];
  return Array.isArray(list) ? list.filter((doc) => typeof doc === "object" && doc !== null) : [];
}

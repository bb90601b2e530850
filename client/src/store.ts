import { Documents, LIST, type Kind, type Kinds, type Ref, type StreamEvent } from "./documents.js";
import type { StepwireError } from "./errors.js";
import { Notifier, oncePerFrame, type Schedule } from "./notifier.js";
import { Rows, type Row, type RowOptions } from "./rows.js";
import { equal } from "./tolerance.js";
import { positionAmong, refsOf, Tree, type Place } from "./tree.js";
import type { Ask, Feedback, Run, Snapshot, Step, StepAction, StepElement } from "./vocabulary.js";

/** How a session's stream is doing; `error` says why it is closed, or does not come back. */
export interface Connection {
  readonly state: "idle" | "connecting" | "live" | "reconnecting" | "closed";
  /** How many tries have failed since it was live. */
  readonly attempt: number;
  readonly error: StepwireError | null;
}

/** A message of this page that the session does not have yet. */
export interface Pending {
  readonly id: string;
  readonly state: "sending" | "failed";
  readonly error: StepwireError | null;
}

/**
 * The keys of {@link Store.subscribe}: `rows` (places, status, what is open), `runs`, `asks`, `connection`,
 * one step with its text, its text alone, one run, and what stands with a step: its elements (`elements:`
 * with no id: those of no step), asks, feedback and actions.
 */
export type Key = "any" | "rows" | "runs" | "asks" | "connection" | `${"step" | "text" | "run" | "elements" | "asks" | "feedback" | "actions"}:${string}`;

/**
 * The state of one session, as its events have made it.
 *
 * A value that a selector returns is never changed, and stays the same object until it differs: a token
 * gives one step a new identity, and nothing else. Selectors are always up to date; listeners hear of
 * changes in batches.
 */
export class Store {
  readonly #documents = new Documents((...note) => this.#note(...note));
  readonly #notifier: Notifier;
  readonly #lists = new Map<string, readonly unknown[]>();
  readonly #derived = new Map<string, { version: number; value: unknown }>();
  readonly #rows = new Rows(this);
  /** What the person has opened or closed: it outlives snapshots. */
  readonly #choices = new Map<string, boolean>();
  readonly #echoes = new Map<string, Step>();
  readonly #pending = new Map<string, Pending>();
  #tree: Tree | null = null;
  #lastTree: Tree | undefined;
  #version = 0;
  #snapshot: Snapshot;
  #connection: Connection = { state: "idle", attempt: 0, error: null };
  #gaps = 0;

  /** @param init where to start from, as from a server that has rendered it */
  constructor(init: Snapshot = {} as Snapshot, schedule: Schedule = oncePerFrame) {
    this.#snapshot = init;
    this.#notifier = new Notifier(schedule);
    if (init.cursor) this.#documents.take({ id: init.cursor, type: "snapshot", data: init });
  }

  /** The id of the last event; null before the first. */
  get cursor(): string | null {
    return this.#documents.cursor || null;
  }

  step(id: string): Step | undefined {
    return this.#documents.get("step", id) ?? this.#echoes.get(id);
  }

  run(id: string): Run | undefined {
    return this.#documents.get("run", id);
  }

  /** All runs, in the order of their first event. */
  runs(): readonly Run[] {
    return this.#list("runs", () => this.#documents.all("run"));
  }

  /** The steps below one, and the runs that it has started; null: what stands at the top. */
  children(stepId: string | null): readonly Ref[] {
    const place = this.tree.of(stepId);
    return place ? refsOf(place) : NO_REFS;
  }

  /** Which of its siblings a step or run is, from 0, and how many they are; null for one that is not there. */
  position(id: string, kind: "step" | "run" = "step"): { readonly at: number; readonly of: number } | null {
    const place = this.tree.of(id, kind);
    return place ? positionAmong(place) : null;
  }

  /** The elements of a step; null: uploads that were not sent yet, and what stands beside the steps, for `stepwire/choices`. */
  elements(stepId: string | null): readonly StepElement[] {
    return this.#of("element", stepId);
  }

  element(id: string): StepElement | undefined {
    return this.#documents.get("element", id);
  }

  /** The asks of a step, open and ended; without an id, those of the whole session. */
  asks(stepId?: string): readonly Ask[] {
    return stepId === undefined ? this.#list("asks", () => this.#documents.all("ask")) : this.#of("ask", stepId);
  }

  /** The buttons of a step. */
  actions(stepId: string): readonly StepAction[] {
    return this.#of("action", stepId);
  }

  feedback(stepId: string): Feedback | null {
    return this.#documents.get("feedback", stepId) ?? null;
  }

  /**
   * The tree as a flat list of what is to be seen, for a list that shows a window of it. A row is the
   * same object until something of it changes. Messages that are being sent stand at the end.
   */
  rows(options: RowOptions = {}): readonly Row[] {
    return this.#rows.list(options, this.#version);
  }

  /** The ids of the steps above a step, from the top, and its own: a way back in a deep tree. */
  path(stepId: string): readonly string[] {
    return this.derive(`path:${stepId}`, () => this.tree.path(stepId));
  }

  /** How many steps below a step have failed. */
  errors(stepId: string): number {
    return this.tree.of(stepId)?.errors ?? 0;
  }

  /** All steps, in the order in which they have begun. */
  steps(): readonly Step[] {
    return this.derive("steps", () => this.#documents.all("step"));
  }

  /** How many steps the session has. */
  get size(): number {
    return this.#documents.count("step");
  }

  /** A message of this page that the session does not have yet, by its id. */
  pending(messageId: string): Pending | undefined {
    return this.#pending.get(messageId);
  }

  /** Whether a step shows what is below it: as the person has chosen, else as the step says. */
  isOpen(stepId: string): boolean {
    const choice = this.#choices.get(stepId);
    const step = this.step(stepId);
    if (choice !== undefined || !step) return choice ?? false;
    if (step.status === "running" || this.asks(stepId).some(({ status }) => status === "open")) return true;
    return !step.auto_collapse;
  }

  /** The person opens or closes a step; null: let the step say. It outlives snapshots. */
  setOpen(stepId: string, open: boolean | null): void {
    if (open === null) this.#choices.delete(stepId);
    else this.#choices.set(stepId, open);
    this.#restructured();
  }

  connection(): Connection {
    return this.#connection;
  }

  /** How often events were missing in the stream; each time it was begun anew with a snapshot. */
  gaps(): number {
    return this.#gaps;
  }

  /** The session as a snapshot, which a server can hand to a page. */
  snapshot(): Snapshot {
    return (this.#snapshot = this.#documents.snapshot(this.#snapshot));
  }

  /** Calls `listener` after changes, once for many of them. The result ends that. */
  subscribe(key: Key, listener: () => void): () => void {
    return this.#notifier.subscribe(key, listener);
  }

  /**
   * Applies an event.
   *
   * @returns "again" for one that was there before and changed nothing; "gap" if events are missing
   */
  take(event: StreamEvent): "next" | "again" | "gap" {
    // Its documents may all be as they were, and stand in another order.
    if (event.type === "snapshot") this.#rebuilt();
    return this.#documents.take(event);
  }

  /** The stream has missed events. */
  missed(): void {
    this.#gaps += 1;
    this.#notifier.changed("connection");
  }

  connectionIs(connection: Connection): void {
    this.#connection = connection;
    this.#notifier.changed("connection");
  }

  /** A message is on its way: it is shown until the session has it. */
  echo(step: Step): void {
    if (this.#documents.get("step", step.id)) return;
    this.#echoes.set(step.id, step);
    this.#pend({ id: step.id, state: "sending", error: null });
  }

  /** A message did not arrive. It stays, to be sent again or forgotten. */
  echoFailed(id: string, error: StepwireError): void {
    if (this.#echoes.has(id)) this.#pend({ id, state: "failed", error });
  }

  /** Forgets a message that could not be sent. */
  discard(id: string): void {
    if (!this.#echoes.delete(id)) return;
    this.#pending.delete(id);
    this.#notifier.changed(`step:${id}`);
    this.#restructured();
  }

  /**
   * Caches what a selector makes of the tree until that changes; an equal value stays the same object.
   * For selectors of your own: `key` must be theirs alone.
   */
  derive<T>(key: string, make: () => T): T {
    const known = this.#derived.get(key) as { version: number; value: T } | undefined;
    if (known?.version === this.#version) return known.value;
    const made = make();
    const value = known && equal(known.value, made) ? known.value : made;
    this.#derived.set(key, { version: this.#version, value });
    return value;
  }

  /** @internal */
  get tree(): Tree {
    return (this.#tree ??= this.#lastTree = new Tree(this.#documents, this.#lastTree));
  }

  /** @internal */
  get used(): Snapshot["usage"] {
    return this.#documents.used;
  }

  /** @internal */
  get echoes(): IterableIterator<string> {
    return this.#echoes.keys();
  }

  #pend(pending: Pending): void {
    this.#pending.set(pending.id, pending);
    this.#notifier.changed(`step:${pending.id}`);
    this.#restructured();
  }

  #of<K extends Kind>(kind: K, stepId: string | null): readonly Kinds[K][] {
    return this.#list(`${LIST[kind].list}:${stepId ?? ""}`, () => this.#documents.of(kind, stepId));
  }

  /** Caches a list of documents until one of them changes. */
  #list<T>(key: string, make: () => readonly T[]): readonly T[] {
    const list = (this.#lists.get(key) as readonly T[] | undefined) ?? make();
    this.#lists.set(key, list);
    return list;
  }

  #note(kind: Kind, id: string, parent: string | null, before: unknown, after: unknown, text: boolean): void {
    const changed = (key: Key) => {
      this.#lists.delete(key);
      this.#notifier.changed(key);
    };
    if (kind === "step" || kind === "run") {
      changed(`${kind}:${id}`);
      if (kind === "run") changed("runs");
      if (kind === "step" && (text || !sameText(before as Step, after as Step))) changed(`text:${id}`);
      if (kind === "step" && this.#echoes.delete(id)) {
        this.#pending.delete(id);
        this.#rows.reset();
      }
      if (text) return;
      const place = this.#tree?.take({ kind, id }, parent, before as Step, after as Step);
      if (place) this.#restructured(place);
      else this.#rebuilt();
      return;
    }
    changed(`${LIST[kind].list as "actions"}:${parent ?? ""}`);
    if (kind === "ask") {
      changed("asks");
      this.#restructured();
    }
  }

  /** What is to be seen of the tree is another: at one place and those above it, or anywhere. */
  #restructured(place?: Place): void {
    if (place) this.#rows.changed(place);
    else this.#rows.reset();
    this.#version += 1;
    this.#notifier.changed("rows");
  }

  /** The tree is another. */
  #rebuilt(): void {
    this.#tree = null;
    this.#restructured();
  }
}

const NO_REFS: readonly Ref[] = [];

function sameText(before: Step | undefined, after: Step | undefined): boolean {
  return before?.output === after?.output && before?.input === after?.input;
}

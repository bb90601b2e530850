import { StepwireError } from "./errors.js";
import { Http, type HttpOptions } from "./http.js";
import { follow, type StreamListener, type Transport } from "./stream.js";
import { equal } from "./tolerance.js";
import type { StreamEvent } from "./documents.js";
import type { AcceptedRun, QueueOverview, RunEntry, RunEntries, SessionEntry, SessionPage, TaskList, WorkerDocument, Workers } from "./vocabulary.js";

export type { HandlerCounts, QueueOverview, RunEntry, RunEntries, SessionEntry, SessionPage, TaskEntry, TaskList, WorkerDocument } from "./vocabulary.js";

/** Which sessions a list is about. */
export interface SessionQuery {
  /** Those of this subject; of another than the token's for callers with the right `admin`. */
  readonly subject?: string | undefined;
  readonly status?: SessionEntry["status"] | undefined;
  /** A text in the title, whatever its case. */
  readonly title?: string | undefined;
  /** The most sessions: of a page, or of a list that is watched. */
  readonly limit?: number | undefined;
}

/** Which runs a list is about. */
export interface RunQuery {
  /** By default what runs and what waits; `error` and `interrupted` are those that failed for good. */
  readonly status?: readonly RunEntry["status"][] | undefined;
  readonly handler?: string | undefined;
  readonly subject?: string | undefined;
  readonly tag?: string | undefined;
  readonly limit?: number | undefined;
}

export interface PageOptions {
  /** The `next` of the page before. */
  readonly cursor?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions extends SessionQuery {
  readonly signal?: AbortSignal | undefined;
  readonly onConnection?: StreamListener["connection"] | undefined;
}

export interface ListsOptions extends HttpOptions {
  /** How the list that is watched comes: over a connection of its own, or `viaSharedWorker()`. */
  readonly transport?: Transport | undefined;
}

const WATCHED = 50;

/** The lists of a gateway: sessions for pages, tasks for forms, runs and workers for those who run it. */
export class Lists {
  readonly #http: Http;
  readonly #transport: Transport | undefined;

  constructor(options: ListsOptions = {}) {
    this.#http = new Http(options);
    this.#transport = options.transport;
  }

  /** A page of the sessions that the token opens, the one with the newest activity first. */
  sessions(query: SessionQuery = {}, { cursor, signal }: PageOptions = {}): Promise<SessionPage> {
    return this.#http.json("GET", path("/v1/sessions", { ...query, cursor }), undefined, signal);
  }

  /** A page of the runs of all sessions; for callers with the right `admin`. */
  runs({ status, ...query }: RunQuery = {}, { cursor, signal }: PageOptions = {}): Promise<RunEntries> {
    return this.#http.json("GET", path("/v1/runs", { ...query, status: status?.join(","), cursor }), undefined, signal);
  }

  /** The workers, with what they execute; for callers with the right `admin`. */
  async workers(signal?: AbortSignal): Promise<readonly WorkerDocument[]> {
    return (await this.#http.json<Workers>("GET", "/v1/workers", undefined, signal)).workers;
  }

  /** How full the queue is, and with what; for callers with the right `admin`. */
  queue(signal?: AbortSignal): Promise<QueueOverview> {
    return this.#http.json("GET", "/v1/queue", undefined, signal);
  }

  /** Does the work of a run that has failed for good again, as a new run; for callers with the right `admin`. */
  retry(runId: string): Promise<AcceptedRun> {
    return this.#http.json("POST", `/v1/runs/${encodeURIComponent(runId)}/retry`, {});
  }

  /** Takes a run off the list of those that have failed for good; for callers with the right `admin`. */
  async forget(runId: string): Promise<void> {
    await this.#http.json("DELETE", `/v1/runs/${encodeURIComponent(runId)}`);
  }

  /** The tasks of the workers that are there; for callers with the right `write`. */
  tasks(signal?: AbortSignal): Promise<TaskList> {
    return this.#http.json("GET", "/v1/tasks", undefined, signal);
  }

  /**
   * The newest sessions, at once and whenever something changes, over as many connections as it takes.
   * An entry that has not changed stays the same object.
   *
   * @throws {StepwireError} once the gateway says no for good
   */
  async *watch({ signal, onConnection, ...query }: WatchOptions = {}): AsyncGenerator<readonly SessionEntry[], void, undefined> {
    const limit = query.limit ?? WATCHED;
    const stop = new AbortController();
    const abort = () => stop.abort();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    let refusal: StepwireError | null = null;
    const listener: Omit<StreamListener, "event"> = {
      connection(connection) {
        if (connection.state === "closed") refusal = connection.error;
        onConnection?.(connection);
      },
      missed() {},
    };
    const options = { http: this.#http, session: "/v1/sessions", path: path("/v1/events", { ...query, limit }), after: null, dense: false };
    let held: readonly SessionEntry[] = [];
    try {
      const events = this.#transport ? pulled(this.#transport, options, listener, stop.signal) : follow(options, listener, stop.signal);
      for await (const { type, data } of events) {
        const next = folded(held, type, data, limit);
        if (next === held) continue;
        held = next;
        yield held;
      }
      if (refusal) throw refusal as StepwireError;
    } finally {
      signal?.removeEventListener("abort", abort);
      abort();
    }
  }
}

/** The events of a transport, one after the other; it ends when the stream is closed for good. */
async function* pulled(
  transport: Transport, options: Parameters<Transport>[0], listener: Omit<StreamListener, "event">, signal: AbortSignal,
): AsyncGenerator<StreamEvent, void, undefined> {
  const events: StreamEvent[] = [];
  let wake = () => {};
  let isOver = false;
  const over = () => {
    isOver = true;
    wake();
  };
  signal.addEventListener("abort", over);
  const close = transport(options, {
    ...listener,
    event(event) {
      events.push(event);
      wake();
    },
    connection(connection) {
      listener.connection(connection);
      if (connection.state === "closed") over();
    },
  });
  try {
    while (!isOver) {
      if (events.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      while (events.length > 0 && !signal.aborted) yield events.shift()!;
    }
  } finally {
    signal.removeEventListener("abort", over);
    close();
  }
}

/** The list after an event; the same one if it says nothing about it. */
export function folded(held: readonly SessionEntry[], type: string, data: unknown, limit = WATCHED): readonly SessionEntry[] {
  if (type === "sessions") {
    const { sessions, unavailable = [] } = data as SessionPage;
    const before = new Map(held.map((entry) => [entry.id, entry]));
    // A session stays as it was known while its server is away.
    const kept = unavailable.flatMap((id) => before.get(id) ?? []);
    const all = [...kept, ...sessions.map((entry) => {
      const known = before.get(entry.id);
      return known && equal(known, entry) ? known : entry;
    })];
    if (kept.length > 0) all.sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : 0));
    return all.slice(0, limit);
  }
  if (type === "session.remove") {
    const { id } = data as { id: string };
    return held.some((entry) => entry.id === id) ? held.filter((entry) => entry.id !== id) : held;
  }
  if (type !== "session") return held;
  const entry = data as SessionEntry;
  const others = held.filter(({ id }) => id !== entry.id);
  const at = others.findIndex(({ updated_at }) => updated_at <= entry.updated_at);
  others.splice(at < 0 ? others.length : at, 0, entry);
  return others.slice(0, limit);
}

function path(route: string, query: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${route}?${text}` : route;
}

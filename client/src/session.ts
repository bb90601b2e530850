import { ServerClock } from "./clock.js";
import type { StreamEvent } from "./documents.js";
import { StepwireError } from "./errors.js";
import type { Fetch, Http } from "./http.js";
import { newId } from "./ids.js";
import type { Schedule } from "./notifier.js";
import { Store, type Connection } from "./store.js";
import { follow, viaFetch, type Transport } from "./stream.js";
import type { AcceptedMessage, AcceptedRun, Ask, AskedFor, JsonValue, NewAnswer, NewClick, NewFeedback, NewMessage, NewRun, NewSubmission, Snapshot, Step, StepElement, WaitingRun, WaitingRuns } from "./vocabulary.js";

export interface SessionOptions {
  /** Where to start from, as from a server that has rendered it. */
  readonly snapshot?: Snapshot | undefined;
  /** Only these types of events come; the store lacks what the others tell. */
  readonly types?: readonly string[] | undefined;
  /** How events come: `viaFetch`, `viaSharedWorker()` or `viaEventSource`. */
  readonly transport?: Transport | undefined;
  /** When listeners of the store are told; once a frame by default. */
  readonly schedule?: Schedule | undefined;
  /** A page that is hidden for so long gives its stream back, and goes on when it is seen again. */
  readonly pauseHiddenMs?: number | undefined;
}

export interface EventsOptions {
  /** The cursor to go on from; without it a `snapshot` comes first. */
  readonly after?: string | undefined;
  /** The events of this run alone, until it is over. */
  readonly run?: string | undefined;
  readonly types?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UploadOptions {
  /** By default the file's own; it tells the type of a file that has none. */
  readonly name?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** @internal */
  readonly fetch?: Fetch;
}

/** A file to upload, or the id of an element that was uploaded before. */
export type SentFile = Blob | string;
export type SendOptions = Omit<NewMessage, "content" | "id" | "elements"> & { readonly id?: string; readonly files?: readonly SentFile[] };
export type AnswerOptions = Omit<NewAnswer, "content" | "action" | "files" | "submission" | "id"> & { readonly id?: string };
/** An answer fits the kind of its ask: a text, the id of an action, files, or what an element submits. */
export type GivenAnswer = { readonly content: string } | { readonly action: string } | { readonly files: readonly SentFile[] } | { readonly submission: NewSubmission };

/**
 * One session: its state in a store, which its stream keeps current, and what a person can do in it.
 *
 * Requests carry an id of their own, so one that failed without an answer can be made again with the same
 * `id`: it is taken once. All throw a {@link StepwireError}.
 */
export class Session {
  readonly id: string;
  readonly store: Store;
  readonly #http: Http;
  readonly #options: SessionOptions;
  readonly #clock = new ServerClock();
  readonly #path: string;
  #leave: (() => void) | null = null;
  #unwatch: (() => void) | null = null;

  constructor(http: Http, id: string, options: SessionOptions = {}) {
    this.id = id;
    this.#http = http;
    this.#options = options;
    this.#path = `/v1/sessions/${encodeURIComponent(id)}`;
    this.store = new Store(options.snapshot, options.schedule);
  }

  /** Where the stream stands; null before the first event. */
  get cursor(): string | null {
    return this.store.cursor;
  }

  /** Opens the stream, from the cursor on, and keeps it open until {@link close}. */
  open(): this {
    if (this.#unwatch) return this;
    this.#connect();
    this.#unwatch = watchHidden(this.#options.pauseHiddenMs, (hidden) => (hidden ? this.#disconnect() : this.#connect()));
    return this;
  }

  close(): void {
    this.#unwatch?.();
    this.#unwatch = null;
    this.#disconnect();
  }

  /** Milliseconds since the epoch, by the server's clock as far as events have told it. */
  serverNow(): number {
    return this.#clock.now();
  }

  /** The events themselves, on a stream of their own; over as many connections as it takes. */
  async *events({ after, run, types, signal }: EventsOptions = {}): AsyncGenerator<StreamEvent, void, undefined> {
    const path = run === undefined ? this.#path : `${this.#path}/runs/${encodeURIComponent(run)}`;
    let refused: StepwireError | null = null;
    const connection = ({ state, error }: Connection) => (refused = state === "closed" ? error : null);
    const options = { http: this.#http, session: this.#path, ...streamOf(path, types, run), after: after ?? null };
    yield* follow(options, { connection, missed() {} }, signal ?? new AbortController().signal);
    if (refused) throw refused as StepwireError;
  }

  /** Sends a message. Until the session has it, the store shows it as one that is being sent, or could not be. */
  async send(content: string, { id = newId(), files = [], ...more }: SendOptions = {}): Promise<AcceptedMessage> {
    this.store.echo(echoOf(this.id, id, content, more.author));
    try {
      const elements = await this.#uploadAll(files);
      return await this.#post<AcceptedMessage>("/messages", { ...more, id, content, elements } satisfies NewMessage);
    } catch (error) {
      this.store.echoFailed(id, error as StepwireError);
      throw error;
    }
  }

  /** Runs a `@cl.task`. */
  run(task: string, args: Readonly<Record<string, JsonValue>> = {}, more: Omit<NewRun, "task" | "args"> = {}): Promise<AcceptedRun> {
    return this.#post("/runs", { id: newId(), ...more, task, args } satisfies NewRun);
  }

  /** The runs that wait for an attempt, and for what, the one that has waited longest first; at most 100. */
  async waiting(signal?: AbortSignal): Promise<readonly WaitingRun[]> {
    return (await this.#http.json<WaitingRuns>("GET", `${this.#path}/waiting`, undefined, signal)).waiting;
  }

  /** Does the work of a run that is over again, by a new run; to change its input, `run` or `send` with `retry_of`. */
  retry(runId: string, id = newId()): Promise<AcceptedRun> {
    return this.#post(`/runs/${encodeURIComponent(runId)}/retry`, { id });
  }

  /** The request that started a run that is over. */
  request(runId: string): Promise<AskedFor> {
    return this.#http.json("GET", `${this.#path}/runs/${encodeURIComponent(runId)}/request`);
  }

  /** Stops a run, and what it has started. */
  async cancel(runId: string): Promise<void> {
    await this.#post(`/runs/${encodeURIComponent(runId)}/cancel`);
  }

  /** The person comes back to the conversation. */
  resume(id = newId()): Promise<AcceptedRun> {
    return this.#post("/resume", { id });
  }

  /** Deletes the session for all its clients. */
  async delete(): Promise<void> {
    await this.#http.json("DELETE", this.#path);
  }

  async answer(askId: string, given: GivenAnswer, { id = newId(), ...more }: AnswerOptions = {}): Promise<Ask> {
    const answer: NewAnswer = "files" in given ? { files: await this.#uploadAll(given.files) } : given;
    return this.#post(`/asks/${encodeURIComponent(askId)}`, { ...more, ...answer, id } satisfies NewAnswer);
  }

  /** Clicks a button of a message: runs its `@cl.action_callback`. */
  click(actionId: string, more: NewClick = {}): Promise<AcceptedRun> {
    return this.#post(`/actions/${encodeURIComponent(actionId)}`, { id: newId(), ...more });
  }

  /** Rates a step: 1 good, 0 bad, null takes it back. */
  async rate(stepId: string, value: 0 | 1 | null, comment?: string): Promise<void> {
    const given = value === null ? undefined : ({ value, comment } satisfies NewFeedback);
    await this.#http.json(given ? "PUT" : "DELETE", `${this.#path}/steps/${encodeURIComponent(stepId)}/feedback`, given);
  }

  /** Uploads a file, to be sent with a message or as an answer; `uploadWithProgress` tells how far it is. */
  async upload(file: Blob, { name = (file as File).name ?? "file", signal, fetch }: UploadOptions = {}): Promise<StepElement> {
    const headers = { accept: "application/json", ...(file.type && { "content-type": file.type }) };
    const path = `${this.#path}/elements?name=${encodeURIComponent(name)}`;
    return (await this.#http.call(path, { method: "POST", headers, body: file, signal, fetch, timeoutMs: Infinity })).json() as Promise<StepElement>;
  }

  /**
   * Where a browser gets the bytes of an element, with the present token, which ends: make the address
   * when it is needed, or show a blob of {@link elementBlob}, which does not go stale.
   */
  elementUrl(element: string | Pick<StepElement, "url">): string {
    const path = this.#elementPath(element);
    return path.startsWith("/") ? this.#http.openUrl(path) : path;
  }

  async elementBlob(element: string | Pick<StepElement, "url">, signal?: AbortSignal): Promise<Blob> {
    const response = await this.#http.call(this.#elementPath(element), { signal, timeoutMs: Infinity });
    return response.blob();
  }

  #elementPath(element: string | Pick<StepElement, "url">): string {
    if (typeof element === "string") return `${this.#path}/elements/${encodeURIComponent(element)}`;
    // A gateway under a path gives addresses with that path, which `baseUrl` has as well.
    return element.url.replace(/^\/.*?(?=\/v1\/sessions\/)/, "");
  }

  #post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#http.json("POST", this.#path + path, body);
  }

  #uploadAll(files: readonly SentFile[]): Promise<string[]> {
    return Promise.all(files.map(async (file) => (typeof file === "string" ? file : (await this.upload(file)).id)));
  }

  #connect(): void {
    const { transport = viaFetch, types } = this.#options;
    this.#leave ??= transport(
      { http: this.#http, session: this.#path, ...streamOf(this.#path, types), after: this.cursor },
      {
        event: (event) => {
          this.#clock.observe(event.type, event.data);
          this.store.take(event);
        },
        connection: (connection) => {
          if (connection.state === "live") this.#clock.opened();
          this.store.connectionIs(connection);
        },
        missed: () => this.store.missed(),
      },
    );
  }

  #disconnect(): void {
    this.#leave?.();
    this.#leave = null;
    if (this.store.connection().state !== "closed") this.store.connectionIs({ state: "idle", attempt: 0, error: null });
  }
}

function streamOf(path: string, types: readonly string[] | undefined, run?: string) {
  const query = types ? `?types=${types.map(encodeURIComponent).join(",")}` : "";
  return { path: `${path}/events${query}`, dense: !types && run === undefined };
}

function echoOf(session_id: string, id: string, output: string, author = "User"): Step {
  const now = new Date().toISOString();
  return {
    id, session_id, run_id: null, attempt: 0, parent_id: null, name: author, type: "user_message", status: "running", input: "", output,
    language: null, show_input: false, disable_feedback: true, default_open: false, auto_collapse: false, icon: null, tags: [],
    metadata: {}, elements: [], started_at: now, ended_at: null, error: null, ts: now,
  };
}

function watchHidden(afterMs: number | undefined, turn: (hidden: boolean) => void): () => void {
  const page = globalThis.document;
  if (afterMs === undefined || !page) return () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (page.hidden) timer = setTimeout(turn, afterMs, true);
    else turn(false);
  };
  page.addEventListener("visibilitychange", look);
  return () => {
    clearTimeout(timer);
    page.removeEventListener("visibilitychange", look);
  };
}

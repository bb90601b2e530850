import { following } from "./cursor.js";
import type { StreamEvent } from "./documents.js";
import { StepwireError } from "./errors.js";
import type { Http } from "./http.js";
import { FrameReader, type Frame } from "./sse.js";
import type { Connection } from "./store.js";

/** Which stream is read, and from where on. */
export interface StreamOptions {
  readonly http: Http;
  /** The path of the session. */
  readonly session: string;
  /** The path of the stream, with what it leaves out. */
  readonly path: string;
  /** The cursor to go on from; null: begin with a snapshot. */
  readonly after: string | null;
  /** Whether the ids of this stream are dense, so that a hole in them means that something is missing. */
  readonly dense: boolean;
}

export interface StreamListener {
  /** Each event once, in order. */
  event(event: StreamEvent): void;
  connection(connection: Connection): void;
  /** Events were missing: a snapshot comes next. */
  missed(): void;
}

/** Opens a stream and keeps it open, until the result is called. */
export type Transport = (options: StreamOptions, listener: StreamListener) => () => void;

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** A gateway says something at least every 15 s, unless it is told otherwise. */
const SILENCE_MS = 60_000;
/** A stream that is refused ends at once; one that is open for so long is live. */
const SETTLED_MS = 300;

/** The stream over `fetch`: a status when it is refused, headers, and the same in browsers, Node and at the edge. */
export const viaFetch: Transport = (options, listener) => {
  const leaving = new AbortController();
  void (async () => {
    for await (const event of follow(options, listener, leaving.signal)) {
      if (leaving.signal.aborted) return;
      listener.event(event);
    }
  })();
  return () => leaving.abort();
};

/** How long to wait after so many tries that failed: longer and longer, and not all clients at once. */
export function backoffMs(failures: number): number {
  return Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}

/**
 * The events of a stream, over as many connections as it takes. It ends when the stream is over (a
 * run's), is refused for good (the listener is told why), or the signal says so.
 */
export async function* follow(
  { http, path, after, dense }: StreamOptions, listener: Omit<StreamListener, "event">, signal: AbortSignal,
): AsyncGenerator<StreamEvent, void, undefined> {
  let cursor = after ?? "";
  let failures = 0;
  let error: StepwireError | null = null;
  let retryMs = FIRST_BACKOFF_MS;
  const told = (state: Connection["state"]) => signal.aborted || listener.connection({ state, attempt: failures, error });
  while (!signal.aborted) {
    told(failures || error ? "reconnecting" : "connecting");
    let waitMs: number | null = null;
    let wasLive = false;
    const live = () => {
      if (wasLive) return;
      wasLive = true;
      failures = 0;
      error = null;
      told("live");
    };
    const line = new Line(signal, live);
    try {
      error = null;
      const headers = { accept: "text/event-stream", ...(cursor && { "last-event-id": cursor }) };
      const response = await http.call(path, { headers, signal: line.signal, timeoutMs: Infinity });
      if (response.status === 204) return;
      for await (const frame of line.frames(response)) {
        retryMs = waitMs = frame.retryMs ?? waitMs ?? retryMs;
        const missing = dense && frame.data !== undefined && frame.type !== "snapshot" ? following(cursor, frame.id ?? cursor) : "next";
        if (missing === "again") continue;
        if (missing === "gap") {
          listener.missed();
          cursor = "";
          waitMs = backoffMs(failures++);
          break;
        }
        cursor = frame.id ?? cursor;
        if (frame.retryMs === undefined) live();
        if (frame.data !== undefined) yield { id: cursor, type: frame.type ?? "message", data: JSON.parse(frame.data) as unknown };
      }
    } catch (caught) {
      if (signal.aborted) return;
      error = line.failure(caught);
      if (!error.passes) return void told("closed");
      waitMs = error.retryAfterS === null ? null : error.retryAfterS * 1000;
    } finally {
      line.hangUp();
    }
    if (signal.aborted) return;
    if (!wasLive) failures += 1;
    told("reconnecting");
    await pause(waitMs ?? (error || !wasLive ? backoffMs(failures) : retryMs), signal);
  }
}

/** One connection, which is given up when nothing is heard of it for too long. */
class Line {
  readonly #own = new AbortController();
  readonly #parent: AbortSignal;
  readonly #onSettled: () => void;
  readonly #abort = () => this.#own.abort();
  #silence = setTimeout(this.#abort, SILENCE_MS);
  #settled: ReturnType<typeof setTimeout> | undefined;

  constructor(parent: AbortSignal, onSettled: () => void) {
    this.#parent = parent;
    this.#onSettled = onSettled;
    parent.addEventListener("abort", this.#abort);
  }

  get signal(): AbortSignal {
    return this.#own.signal;
  }

  async *frames(response: Response): AsyncGenerator<Frame, void, undefined> {
    if (!response.body || !/^text\/event-stream\b/.test(response.headers.get("content-type") ?? "")) {
      throw new StepwireError("it cannot stream", "bad_answer", response.status);
    }
    this.#settled = setTimeout(this.#onSettled, SETTLED_MS);
    const bytes = response.body.getReader();
    const frames = new FrameReader();
    for (let piece = await bytes.read(); !piece.done; piece = await bytes.read()) {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(this.#abort, SILENCE_MS);
      yield* frames.read(piece.value);
    }
  }

  failure(caught: unknown): StepwireError {
    if (this.#own.signal.aborted) return new StepwireError(`silent for ${SILENCE_MS / 1000} s`, "no_answer");
    return caught instanceof StepwireError ? caught : new StepwireError(`the stream broke: ${caught}`, "unreachable");
  }

  hangUp(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#settled);
    this.#parent.removeEventListener("abort", this.#abort);
    this.#own.abort();
  }
}

/** Waits, but no longer than until the signal, until the network is back, or five minutes. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      globalThis.removeEventListener?.("online", done);
      resolve();
    };
    // A timer of more than 24 days fires at once.
    const timer = setTimeout(done, Math.min(ms, 3e5));
    signal.addEventListener("abort", done);
    globalThis.addEventListener?.("online", done);
    if (signal.aborted) done();
  });
}

import { eventsUrl, readSession, Problem } from "./api.js";
import { CursorCheck } from "./cursor.js";
import { EVENTS } from "./vocabulary.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/** Refusals that pass (RFC 9110, 15.5.9; RFC 6585, 4): nothing is wrong with the session. */
const PASSING = new Set([408, 429]);

/**
 * @typedef {"connecting" | "live" | "reconnecting" | "closed"} Connection
 *
 * @typedef {object} Listener
 * @property {(type: string, data: any) => void} onEvent
 * @property {(connection: Connection, problem: Problem | null) => void} onConnection
 *   `problem` says why it is closed
 */

/**
 * The events of one session, for as long as the page shows it.
 *
 * `EventSource` reconnects by itself when a stream ends or the network fails, and stops for good on
 * any status but 200 without telling which (WHATWG HTML, 9.2.3). Then the session itself is asked:
 * a 4xx ends the stream, unless it is one that passes; anything else (a proxy's 502, say) is tried
 * again from the last cursor.
 */
export class Stream {
  check = new CursorCheck();
  /** How many events have been applied. */
  events = 0;
  /** @type {Connection} */
  connection = "connecting";

  #sid;
  #listener;
  /** @type {EventSource | null} */
  #source = null;
  #retryMs = FIRST_RETRY_MS;
  #timer = 0;
  #stopped = false;

  /** @param {string} sid @param {Listener} listener */
  constructor(sid, listener) {
    this.#sid = sid;
    this.#listener = listener;
  }

  open() {
    const source = new EventSource(eventsUrl(this.#sid, this.check.cursor));
    this.#source = source;
    source.onopen = () => {
      this.#retryMs = FIRST_RETRY_MS;
      this.#turn("live");
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.#askWhy();
      else this.#turn(this.connection === "connecting" ? "connecting" : "reconnecting");
    };
    // The page listens also for types that it does not show: an event without a listener never
    // reaches the cursor check, and the next event would look like a gap.
    for (const type of Object.keys(EVENTS)) source.addEventListener(type, (event) => this.#take(event));
  }

  /** @param {Problem | null} [problem] why */
  close(problem = null) {
    this.#stopped = true;
    this.#source?.close();
    clearTimeout(this.#timer);
    this.#turn("closed", problem);
  }

  /** @param {MessageEvent} event */
  #take(event) {
    if (!this.check.take(event.lastEventId, event.type === "snapshot")) return;
    this.events += 1;
    this.#listener.onEvent(event.type, JSON.parse(event.data));
  }

  async #askWhy() {
    try {
      await readSession(this.#sid);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status >= 400 && error.status < 500 && !PASSING.has(error.status)) {
        if (!this.#stopped) this.#turn("closed", error);
        return;
      }
    }
    if (this.#stopped) return;
    this.#turn("reconnecting");
    this.#timer = setTimeout(() => this.open(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  /** @param {Connection} connection @param {Problem | null} [problem] */
  #turn(connection, problem = null) {
    this.connection = connection;
    this.#listener.onConnection(connection, problem);
  }
}

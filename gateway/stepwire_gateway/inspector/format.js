/** Times and durations in words, and the server's clock as far as the client can tell it. */

/** How long after the stream opened an event counts as having been made just now. */
const REPLAY_MS = 1000;

/**
 * Estimates the server's clock from the `ts` of events.
 *
 * An event cannot arrive before it was made, so each one gives an upper bound of how far this
 * clock is ahead; the smallest bound is the best. Replayed events are old and bound loosely: until
 * a live one has come, they only prove that this clock is behind.
 */
export class ServerClock {
  #boundMs = Infinity;
  #openedAt = Infinity;
  #sawLive = false;
  #now;

  /** @param {() => number} [now] milliseconds since the epoch, this machine's */
  constructor(now = Date.now) {
    this.#now = now;
  }

  /** The stream has opened: what comes first may be a replay. */
  opened() {
    this.#openedAt = this.#now();
  }

  /** A snapshot has come: what follows it is live. */
  caughtUp() {
    this.#openedAt = -Infinity;
  }

  /** @param {string | undefined} ts RFC 3339 */
  observe(ts) {
    const madeAt = Date.parse(ts ?? "");
    if (Number.isNaN(madeAt)) return;
    const now = this.#now();
    this.#boundMs = Math.min(this.#boundMs, now - madeAt);
    this.#sawLive ||= now - this.#openedAt > REPLAY_MS;
  }

  /** @returns {number} milliseconds since the epoch, the server's */
  now() {
    return this.#now() - (this.#sawLive ? this.#boundMs : Math.min(this.#boundMs, 0));
  }
}

/**
 * @param {string | null} startedAt RFC 3339
 * @param {string | null} endedAt RFC 3339, null while it runs
 * @param {number} nowMs the server's
 * @returns {string} `340 ms`, `1.24 s`, `12.3 s`, `2 m 05 s`, `1 h 02 m`; empty if it never started
 */
export function duration(startedAt, endedAt, nowMs) {
  const start = Date.parse(startedAt ?? "");
  const end = endedAt ? Date.parse(endedAt) : nowMs;
  if (Number.isNaN(start) || Number.isNaN(end)) return "";
  const ms = Math.max(0, end - start);
  if (ms < 1000 && endedAt) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 10) / 100).toFixed(2)} s`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (minutes < 60) return `${minutes} m ${pad(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
}

/** @param {string} time RFC 3339 @returns {string} the reader's local time of day */
export function timeOfDay(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString();
}

/** How much of a text stands on the one line that tells what it is about. */
const GIST_CHARS = 160;

/** @param {string} text @returns {string} its start on one line; of JSON, the words without the marks */
export function gist(text) {
  const start = text.slice(0, 2 * GIST_CHARS);
  const bare = /^\s*[[{]/.test(start) ? start.replace(/["{}[\]]/g, "") : start;
  return bare.replace(/\s+/g, " ").replace(/ ,/g, ",").trim().slice(0, GIST_CHARS);
}

/** @param {number} n @param {string} noun @returns {string} `1 step`, `2 steps` */
export function count(n, noun) {
  return `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;
}

/** @param {number} size @returns {string} as in `47.1 kB` */
export function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(size || 1) / 3)));
  return `${(size / 1000 ** power).toFixed(power && 1)} ${units[power]}`;
}

/**
 * @param {unknown} used tokens and cost, as a step, run or snapshot has them
 * @returns {string} `1,204 in · 380 out · cost 0.0123`; empty if there is nothing of these
 */
export function usage(used) {
  if (typeof used !== "object" || used === null) return "";
  const { input_tokens, output_tokens, cost } = /** @type {Record<string, unknown>} */ (used);
  const parts = [];
  const add = (value, words) => {
    if (typeof value === "number" && Number.isFinite(value) && value > 0) parts.push(words(value));
  };
  add(input_tokens, (n) => `${n.toLocaleString()} in`);
  add(output_tokens, (n) => `${n.toLocaleString()} out`);
  add(cost, (n) => `cost ${n.toLocaleString(undefined, { maximumSignificantDigits: 3 })}`);
  return parts.join(" · ");
}

/** What another version or a fault has written may be anything. @param {any} progress */
export function progressOf(progress) {
  const isCount = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0;
  if (!isCount(progress?.done)) return null;
  return {
    done: progress.done,
    total: isCount(progress.total) ? progress.total : null,
    text: typeof progress.text === "string" ? progress.text : "",
  };
}

/** @param {number} done @param {number | null} total @returns {string} `3 of 12 (25%)`, `3 of 0`, `3` */
export function progressWords(done, total) {
  const [some, all] = [done, total].map((n) => n?.toLocaleString(undefined, { maximumFractionDigits: 2 }));
  if (total === null) return /** @type {string} */ (some);
  const percent = total ? ` (${Math.floor((100 * Math.min(done, total)) / total)}%)` : "";
  return `${some} of ${all}${percent}`;
}

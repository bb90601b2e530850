/** Times, sizes, counts and short texts, as all parts of the page say them. */

/** As `340 ms`, `1.24 s`, `12.3 s`, `2 m 05 s`, `1 h 02 m`; one that still grows has no milliseconds. */
export function duration(ms: number, isOver = true): string {
  if (Number.isNaN(ms)) return "";
  if (ms < 1000 && isOver) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 10) / 100).toFixed(2)} s`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const pad = (n: number) => String(n).padStart(2, "0");
  if (minutes < 60) return `${minutes} m ${pad(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
}

/** The reader's time of day; with the date, if that is another day. */
export function timeOfDay(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString();
}

const GIST_CHARS = 160;

/** The start of a text on one line, or its end; of JSON, the words without the marks. */
export function gist(text: string, end = false): string {
  const part = end ? text.slice(-2 * GIST_CHARS) : text.slice(0, 2 * GIST_CHARS);
  const bare = /^\s*[[{]/.test(text) ? part.replace(/["{}[\]]/g, "") : part;
  const line = bare.replace(/\s+/g, " ").replace(/ ,/g, ",").trim();
  return end ? line.slice(-GIST_CHARS) : line.slice(0, GIST_CHARS);
}

/** As in `1 step`, `2,000 steps`. */
export function count(n: number, noun: string): string {
  return `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;
}

/** `1.2 kB`, `999 B`. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let value = size;
  // What would be rounded to 1,000 of a unit is one of the next.
  while (value >= (unit ? 999.95 : 1000) && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(unit && 1)} ${units[unit]}`;
}

/** A cost with three figures: what it is counted in is known to the handlers alone. */
export const cost = (sum: number) => `cost ${sum.toLocaleString(undefined, { maximumSignificantDigits: 3 })}`;

/** `1,204 tokens`, `1.2M tokens`. */
export function tokens(number: number): string {
  return `${number < 100_000 ? number.toLocaleString() : number.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 })} tokens`;
}

/** What went in, what came out, what it cost, as far as there is any. */
export function usage(used: { readonly input_tokens?: number | null; readonly output_tokens?: number | null; readonly cost?: number | null }): string {
  const { input_tokens, output_tokens, cost: paid } = used;
  return [input_tokens && `${input_tokens.toLocaleString()} in`, output_tokens && `${output_tokens.toLocaleString()} out`, paid && cost(paid)].filter(Boolean).join(" · ");
}

/** The beginning of a text, on one line. */
export function beginning(text: string, most = 90): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= most ? line : `${[...line].slice(0, most).join("")}…`;
}

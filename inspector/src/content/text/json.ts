/** A number that JavaScript would write in another way than the text has it, as `9007199254740993`. */
export class ExactNumber {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }
}

export type Json = null | boolean | number | string | ExactNumber | Json[] | { readonly [key: string]: Json };

/** Most texts have no such number, and are read at once. */
const MAY_BE_INEXACT = /\d{16}|[eE]\+?\d{3}/;

/** The value of a text; undefined if it is not JSON. */
export function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text, MAY_BE_INEXACT.test(text) ? (exact as never) : undefined) as Json;
  } catch (error) {
    // One that is too deep for a reviver is read without it.
    return error instanceof RangeError ? plainly(text) : undefined;
  }
}

/** Whether a text is a structure, as far as its ends tell: the parser says the rest. */
export function looksLikeJson(text: string): boolean {
  return /^\s*[[{]/.test(text) && /[\]}]\s*$/.test(text.slice(-100));
}

function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  return typeof value === "number" && source !== undefined && !isSame(value, source) ? new ExactNumber(source) : value;
}

/** Whether nothing of a number is lost: `1.50` and `1e3` are what `1.5` and `1000` are. */
function isSame(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false;
  const digits = source.replace(/[eE].*$/, "").replace(/[-.]/g, "").replace(/^0+/, "").replace(/0+$/, "");
  return digits.length <= 15 || String(value) === source;
}

function plainly(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

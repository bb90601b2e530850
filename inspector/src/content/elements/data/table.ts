import { ExactNumber } from "../../text/json";
import { Misfit } from "../misfit";

/** A table as pandas writes it with `orient="split"`. */
export interface Table {
  readonly columns: readonly string[];
  readonly index: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

export interface Sorting {
  /** The column; -1 is the index. */
  readonly column: number;
  readonly down: boolean;
}

/** @throws {Misfit} it is not a table */
export function tableOf(value: unknown): Table {
  const { columns, index, data } = (value ?? {}) as { columns?: unknown; index?: unknown; data?: unknown };
  if (!Array.isArray(columns) || !Array.isArray(data)) throw new Misfit("It is not a table, though its type says so: it needs columns and data.");
  return {
    columns: columns.map(labelOf),
    index: data.map((_, at) => labelOf(Array.isArray(index) && at < index.length ? index[at] : at)),
    rows: data.map((row) => (Array.isArray(row) ? row : [row])),
  };
}

/** Several levels of an index, or of columns, are one label. */
function labelOf(label: unknown): string {
  return Array.isArray(label) ? label.map(wordsOf).join(" · ") : wordsOf(label);
}

/** What a cell shows; nothing for what is missing. */
export function wordsOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof ExactNumber) return value.source;
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e15 ? String(value) : String(Number(value.toPrecision(12)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** The rows in their order: by number where a column has numbers, else by words; what is missing comes last, either way. */
export function sorted(table: Table, sorting: Sorting | null): Int32Array {
  const order = Int32Array.from(table.rows, (_, at) => at);
  if (!sorting) return order;
  const { column, down } = sorting;
  const keys = table.rows.map((row, at) => (column < 0 ? numberOr(table.index[at]!) : row[column]));
  const sign = down ? -1 : 1;
  return order.sort((a, b) => missing(keys[a]) - missing(keys[b]) || sign * compared(keys[a], keys[b]) || a - b);
}

function compared(a: unknown, b: unknown): number {
  if (isNumber(a) && isNumber(b)) return a instanceof ExactNumber || b instanceof ExactNumber ? comparedExactly(wordsOf(a), wordsOf(b)) : a - b;
  if (typeof a === "boolean" && typeof b === "boolean") return Number(a) - Number(b);
  return words.compare(wordsOf(a), wordsOf(b));
}

function isNumber(value: unknown): value is number | ExactNumber {
  return typeof value === "number" || value instanceof ExactNumber;
}

function comparedExactly(a: string, b: string): number {
  const whole = /^-?\d+$/;
  if (!whole.test(a) || !whole.test(b)) return Number(a) - Number(b);
  return BigInt(a) < BigInt(b) ? -1 : Number(BigInt(a) > BigInt(b));
}

function missing(value: unknown): number {
  return value === null || value === undefined || value === "" ? 1 : 0;
}

function numberOr(label: string): number | string {
  return label.trim() !== "" && Number.isFinite(Number(label)) ? Number(label) : label;
}

export function isNumeric(table: Table, column: number): boolean {
  const some = table.rows.slice(0, 100).map((row) => row[column]).filter((value) => value !== null && value !== undefined);
  return some.length > 0 && some.every(isNumber);
}

/** How many characters wide a column is, by its head and its first rows. */
export function widthOf(table: Table, column: number): number {
  const cells = table.rows.slice(0, 100).map((row, at) => (column < 0 ? table.index[at]! : wordsOf(row[column])).length);
  const head = column < 0 ? 0 : table.columns[column]!.length + 2;
  return Math.min(40, Math.max(4, head, ...cells));
}

/** RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvOf(table: Table, order: Int32Array): string {
  const line = (cells: readonly unknown[]) => cells.map(csvCell).join(",");
  return [line(["", ...table.columns]), ...Array.from(order, (at) => line([table.index[at], ...table.columns.map((_, column) => table.rows[at]![column])]))].join("\r\n");
}

function csvCell(value: unknown): string {
  const text = wordsOf(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

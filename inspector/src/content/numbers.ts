/** Numbers in words. What another version or a fault has written may be anything. */

export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(size || 1) / 3)));
  return `${(size / 1000 ** power).toFixed(power && 1)} ${units[power]}`;
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** `3 of 12 (25%)`, `3 of 0`, `3`. */
export function progressWords(done: number, total: number | null): string {
  const words = (n: number) => n.toLocaleString(undefined, { maximumFractionDigits: 2 });
  if (total === null) return words(done);
  const percent = total ? ` (${Math.floor((100 * Math.min(done, total)) / total)}%)` : "";
  return `${words(done)} of ${words(total)}${percent}`;
}

/** A cost with three figures: what it is counted in is known to the handlers alone. */
export function costWords(cost: number): string {
  return cost.toLocaleString(undefined, { maximumSignificantDigits: 3 });
}

/** `1,204`, `1.2M`. */
export function shortCount(count: number): string {
  return count < 100_000 ? count.toLocaleString() : count.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 });
}

/** Numbers in words. What another version or a fault has written may be anything. */

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

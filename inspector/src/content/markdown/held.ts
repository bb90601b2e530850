/** A line of marks alone: the next character decides what it is. */
const MARKS = /^[\s>]*[-=*+_#>|:`~$\\.)\d\s]+$/;
const FENCE = /^[ \t>]*(`{3,}|~{3,})[^\n]*$/;
const CELLS = /^\s*\|/;
const MOST_MARKS = 200;

/**
 * How much of a text that still grows can be shown without taking it back with the next token: a line of marks
 * alone (`-` is a heading's underline until it is a list), the first line of a fence, and the head of a table
 * until the line below it has come.
 *
 * @returns the length of what is shown
 */
export function settledLength(text: string): number {
  const lastLine = text.lastIndexOf("\n") + 1;
  const line = text.slice(lastLine);
  if (CELLS.test(line)) return withoutHead(text, text.length);
  if (FENCE.test(line) || (line.length < MOST_MARKS && line.trim() && MARKS.test(line))) return withoutHead(text, lastLine);
  return withoutHead(text, text.length);
}

/** A table begins with its second line; before that is whole, its first is a paragraph. */
function withoutHead(text: string, end: number): number {
  // Of the part that may be shown, the lines at its end that begin with a bar.
  const lines = text.slice(0, end).split("\n").slice(-4);
  const isWhole = lines.at(-1) === "";
  if (isWhole) lines.pop();
  const cells = lines.length - 1 - lines.findLastIndex((line) => !CELLS.test(line));
  if (cells === 0 || cells > 2 || (cells === 2 && isWhole)) return end;
  return end - lines.slice(-cells).join("\n").length - (isWhole ? 1 : 0);
}

import type MarkdownIt from "markdown-it";
import type StateBlock from "markdown-it/lib/rules_block/state_block.mjs";
import type StateInline from "markdown-it/lib/rules_inline/state_inline.mjs";

/** Where a search for an end has found none, so that a text of ten thousand beginnings is not read as often. */
const inlineEnds = new WeakMap<StateInline, number>();
const blockEnds = new WeakMap<StateBlock, number>();

/** Formulas in `\(…\)` and `\[…\]`, as models write them. */
export function brackets(md: MarkdownIt): void {
  md.inline.ruler.before("escape", "formula", inline);
  md.block.ruler.before("paragraph", "formulas", block, { alt: ["paragraph", "blockquote", "list"] });
}

function inline(state: StateInline, silent: boolean): boolean {
  const open = state.src.startsWith("\\(", state.pos);
  if (!open && !state.src.startsWith("\\[", state.pos)) return false;
  // A backslash before it is one that is meant.
  if (state.pos >= (inlineEnds.get(state) ?? Infinity)) return false;
  const end = state.src.indexOf(open ? "\\)" : "\\]", state.pos + 2);
  if (end < 0) {
    if (!state.src.includes(open ? "\\]" : "\\)", state.pos)) inlineEnds.set(state, state.pos);
    return false;
  }
  if (!silent) {
    const token = state.push(open ? "math_inline" : "math_block", "math", 0);
    token.content = state.src.slice(state.pos + 2, end);
  }
  state.pos = end + 2;
  return true;
}

function block(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const start = state.bMarks[startLine]! + state.tShift[startLine]!;
  if (!state.src.startsWith("\\[", start) || startLine >= (blockEnds.get(state) ?? Infinity)) return false;
  const last = state.eMarks[endLine - 1]!;
  const end = state.src.indexOf("\\]", start + 2);
  if (end < 0 || end > last) {
    if (end < 0) blockEnds.set(state, startLine);
    return false;
  }
  let line = startLine;
  while (state.eMarks[line]! < end) line += 1;
  // What follows on its last line makes it a part of a paragraph, and so does an empty line in it.
  if (state.src.slice(end + 2, state.eMarks[line]).trim() || /\n[ \t]*\n/.test(state.src.slice(start, end))) return false;
  if (silent) return true;
  const token = state.push("math_block", "math", 0);
  token.block = true;
  token.content = state.src.slice(start + 2, end);
  token.map = [startLine, line + 1];
  state.line = line + 1;
  return true;
}

import type Token from "markdown-it/lib/token.mjs";
import remend from "remend";
import { settledLength } from "./held";
import { parser, type References } from "./parser";

/** A paragraph, list, table, fence or formula: what stands at the top level of a text. */
export interface Block {
  /** Where it begins in the text: the block that began there before is the same one, grown. */
  readonly at: number;
  readonly source: string;
  readonly tokens: readonly Token[];
  /** It may grow, or become something else. */
  readonly open: boolean;
}

interface Fence {
  readonly at: number;
  readonly token: Token;
  /** Where its code begins. */
  readonly from: number;
  readonly closing: RegExp;
}

/** Marks that are not closed yet are closed in longer texts at their end alone: it is read in each frame. */
const MENDED_CHARS = 10_000;
const MENDED = { htmlTags: false, katex: false, comparisonOperators: false, singleTilde: false, setextHeadings: false, linkMode: "text-only" } as const;
const NEWLINE = /\r\n?|\n/g;

/**
 * A text in Markdown that grows at its end. A frame costs what its last block costs, and not what came before: a
 * block that another one follows is never parsed again.
 */
export class Blocks {
  #text = "";
  #whole = false;
  #settled: Block[] = [];
  /** Where the first block begins that is not settled. */
  #from = 0;
  #references: References = {};
  #fence: Fence | null = null;
  #shown: readonly Block[] = [];

  /** @param whole nothing more comes */
  take(text: string, whole: boolean): readonly Block[] {
    if (text === this.#text && whole === this.#whole) return this.#shown;
    if (!text.startsWith(this.#text) || (this.#whole && !whole)) this.#restart();
    const came = text.slice(this.#text.length);
    this.#text = text;
    this.#whole = whole;
    const last = this.#grown(came) ?? this.#parse();
    return (this.#shown = [...this.#settled, ...last]);
  }

  #restart(): void {
    this.#settled = [];
    this.#from = 0;
    this.#text = "";
    this.#references = {};
    this.#fence = null;
  }

  /** A fence that is still open: its code grows, and needs no parser. */
  #grown(came: string): readonly Block[] | null {
    const fence = this.#fence;
    if (!fence || this.#whole) return null;
    const lineFrom = this.#text.lastIndexOf("\n", this.#text.length - came.length - 1) + 1;
    const lines = this.#text.slice(Math.max(lineFrom, fence.from));
    // What may become the closing line is not shown; that the line is whole says that it is the closing one.
    if (fence.closing.test(lines.slice(0, lines.lastIndexOf("\n") + 1))) {
      this.#fence = null;
      return null;
    }
    const lastLine = this.#text.lastIndexOf("\n") + 1;
    const end = lastLine >= fence.from && /^ {0,3}[`~]+[ \t\r]*$/.test(this.#text.slice(lastLine)) ? lastLine : this.#text.length;
    const token = Object.assign(Object.create(Object.getPrototypeOf(fence.token)), fence.token, { content: this.#text.slice(fence.from, end) });
    return [{ at: fence.at, source: this.#text.slice(fence.at), tokens: [token], open: true }];
  }

  #parse(): readonly Block[] {
    const rest = this.#text.slice(this.#from);
    const shown = this.#whole ? rest : rest.slice(0, settledLength(rest));
    const references: References = { references: { ...this.#references.references } };
    const known = Object.keys(references.references!).length;
    const blocks = this.#blocksOf(shown, references);
    if (this.#whole) {
      this.#refer(references, known);
      return blocks;
    }
    const last = blocks.at(-1);
    if (!last) return [];
    if (last.at > this.#from) {
      const before = this.#text.slice(this.#from, last.at);
      const own: References = { references: { ...this.#references.references } };
      const done = this.#blocksOf(before, own);
      this.#refer(own, known);
      this.#settled.push(...done);
      this.#from = last.at;
    }
    this.#fence = this.#openFence(last);
    if (this.#fence) return [{ ...last, open: true }];
    const growing = this.#growing(last);
    // Marks alone, without what they mark.
    return growing.tokens.length > 0 || isOpenFormula(last.source) ? [growing] : [];
  }

  /** What a block refers to may be said after it. */
  #refer(found: References, known: number): void {
    if (Object.keys(found.references ?? {}).length === known) return;
    this.#references = found;
    this.#settled = this.#settled.map((block) => {
      if (!block.source.includes("[")) return block;
      return { ...block, tokens: parser.parse(block.source, { references: { ...found.references } }) };
    });
  }

  #blocksOf(text: string, references: References): Block[] {
    const tokens = parser.parse(text, references);
    const starts = [0];
    // What the parser takes for the end of a line, so that its numbers of lines lead back into the text.
    for (const { index, 0: newline } of text.matchAll(NEWLINE)) starts.push(index + newline.length);
    const blocks: { line: number; tokens: Token[] }[] = [];
    for (const token of tokens) {
      const begins = token.level === 0 && token.nesting >= 0;
      if (begins) blocks.push({ line: token.map?.[0] ?? 0, tokens: [] });
      blocks.at(-1)?.tokens.push(token);
    }
    return blocks.map((block, place) => {
      const at = starts[block.line] ?? text.length;
      const end = starts[blocks[place + 1]?.line ?? Infinity] ?? text.length;
      return { at: this.#from + at, source: text.slice(at, end), tokens: block.tokens, open: false };
    });
  }

  /** The last block as it is shown while it grows: without marks whose other half has not come. */
  #growing(block: Block): Block {
    const { source, tokens } = block;
    if (isOpenFormula(source)) return { ...block, tokens: [], open: true };
    const type = tokens[0]?.type;
    const isProse = type !== "fence" && type !== "code_block" && type !== "math_block";
    if (!isProse || source.length > MENDED_CHARS) return { ...block, open: true };
    const mended = remend(source, MENDED);
    const env = { references: { ...this.#references.references } };
    return { ...block, tokens: mended === source ? tokens : parser.parse(mended, env), open: true };
  }

  #openFence({ at, source, tokens }: Block): Fence | null {
    const [token] = tokens;
    // An indented fence takes its indentation off each line: the parser does that.
    if (token?.type !== "fence" || !source.startsWith(token.markup)) return null;
    const firstLine = source.search(/\r\n?|\n/);
    if (firstLine < 0 || source.includes("\r")) return null;
    const closing = new RegExp(`^ {0,3}\\${token.markup[0]}{${token.markup.length},}[ \\t]*$`, "m");
    if (closing.test(source.slice(firstLine + 1))) return null;
    return { at, token, from: at + firstLine + 1, closing };
  }
}

/** A formula whose end has not come: half of one is an error, not a formula. */
function isOpenFormula(source: string): boolean {
  const start = /^ {0,3}(\$\$|\\\[)/.exec(source);
  if (!start) return false;
  const end = start[1] === "$$" ? "$$" : "\\]";
  return !source.slice(start[0].length).includes(end);
}

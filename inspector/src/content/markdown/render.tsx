import type Token from "markdown-it/lib/token.mjs";
import { createElement, Fragment, type ReactNode } from "react";
import { Code } from "../text/Code";
import { Formula } from "./Formula";
import { ImageLink, Link } from "./Link";
import { Rows } from "./Rows";

/** The elements of the page for a part of a text. There is no other way from a text to an element. */
export function render(tokens: readonly Token[], open: boolean): ReactNode[] {
  return new Rendering(open).children(tokens, 0, tokens.length);
}

/** A text cannot be more deeply nested than its reader can see, nor than the page can lay out at once. */
const DEEPEST = 40;

const PLAIN = new Set(["ul", "blockquote", "strong", "em", "s", "thead"]);

class Rendering {
  readonly #open: boolean;
  #depth = 0;

  constructor(open: boolean) {
    this.#open = open;
  }

  children(tokens: readonly Token[], from: number, to: number): ReactNode[] {
    const made: ReactNode[] = [];
    if (this.#depth > DEEPEST) return [textOf(tokens.slice(from, to))];
    this.#depth += 1;
    for (let at = from; at < to; at += 1) {
      const token = tokens[at]!;
      if (token.nesting === 1) {
        const end = closing(tokens, at, to);
        made.push(this.#container(token, tokens, at + 1, end, at));
        at = end;
      } else if (token.nesting === 0) {
        made.push(this.#leaf(token, at));
      }
    }
    this.#depth -= 1;
    return made;
  }

  #container(token: Token, tokens: readonly Token[], from: number, to: number, key: number): ReactNode {
    const inside = () => this.children(tokens, from, to);
    switch (token.type) {
      case "paragraph_open":
        return token.hidden ? <Fragment key={key}>{inside()}</Fragment> : <p key={key} dir="auto">{inside()}</p>;
      case "heading_open":
        // The headings of the page come above those of what it shows.
        return createElement(`h${Math.min(6, Number(token.tag[1]) + 2)}`, { key, dir: "auto", className: `md-${token.tag}` }, ...inside());
      case "ordered_list_open":
        return <ol key={key} dir="auto" start={startOf(token)}>{inside()}</ol>;
      case "list_item_open":
        return this.#item(tokens, from, to, key);
      case "link_open":
        return <Link key={key} address={token.attrGet("href") ?? ""} words={textOf(tokens.slice(from, to))}>{inside()}</Link>;
      case "table_open":
        return <Table key={key}>{inside()}</Table>;
      case "tbody_open":
        return <Rows key={key} rows={inside()} columns={columnsOf(tokens, from)} />;
      case "tr_open":
        return <tr key={key}>{inside()}</tr>;
      case "th_open":
      case "td_open":
        return createElement(token.tag, { key, dir: "auto", className: alignmentOf(token), scope: token.tag === "th" ? "col" : undefined }, ...inside());
      default:
        return PLAIN.has(token.tag) ? createElement(token.tag, { key, dir: token.block ? "auto" : undefined }, ...inside()) : <Fragment key={key}>{inside()}</Fragment>;
    }
  }

  #leaf(token: Token, key: number): ReactNode {
    switch (token.type) {
      case "inline":
        return <Fragment key={key}>{this.children(token.children ?? [], 0, token.children?.length ?? 0)}</Fragment>;
      case "softbreak":
      case "hardbreak":
        return <br key={key} />;
      case "code_inline":
        return <code key={key} dir="ltr">{token.content}</code>;
      case "fence":
      case "code_block":
        return <Code key={key} code={token.content} language={token.info.trim().split(/\s+/)[0] || null} growing={this.#open} />;
      case "math_inline":
      case "math_block":
        return <Formula key={key} tex={token.content.trim()} display={token.type === "math_block"} />;
      case "image":
        return <ImageLink key={key} address={token.attrGet("src") ?? ""} words={token.content} />;
      case "hr":
        return <hr key={key} />;
      default:
        return <Fragment key={key}>{token.content}</Fragment>;
    }
  }

  /** `[ ]` and `[x]` at the start of an item say whether it is done. */
  #item(tokens: readonly Token[], from: number, to: number, key: number): ReactNode {
    const inline = tokens[from + 1];
    const first = inline?.type === "inline" ? inline.children?.[0] : undefined;
    const box = first?.type === "text" && tokens[from]!.type === "paragraph_open" ? /^\[([ xX])\] /.exec(first.content) : null;
    if (!box) return <li key={key} dir="auto">{this.children(tokens, from, to)}</li>;
    const done = box[1] !== " ";
    const rest = Object.assign(Object.create(Object.getPrototypeOf(first)), first, { content: first!.content.slice(box[0].length) });
    const line = Object.assign(Object.create(Object.getPrototypeOf(inline)), inline, { children: [rest, ...inline!.children!.slice(1)] });
    const mended = [...tokens.slice(from, from + 1), line, ...tokens.slice(from + 2, to)];
    return (
      <li key={key} dir="auto" className="md-task">
        <input type="checkbox" checked={done} disabled aria-label={done ? "done" : "not done"} />
        {this.children(mended, 0, mended.length)}
      </li>
    );
  }
}

/** A wide table scrolls in itself, also by keyboard. */
function Table({ children }: { readonly children: ReactNode }) {
  return <div className="md-table" tabIndex={0} role="group" aria-label="Table"><table>{children}</table></div>;
}

function closing(tokens: readonly Token[], at: number, to: number): number {
  for (let depth = 0, end = at; end < to; end += 1) {
    depth += tokens[end]!.nesting;
    if (depth === 0) return end;
  }
  return to;
}

/** How many cells the first row has. */
function columnsOf(tokens: readonly Token[], from: number): number {
  let count = 0;
  for (let at = from; at < tokens.length && tokens[at]!.type !== "tr_close"; at += 1) count += tokens[at]!.type === "td_open" ? 1 : 0;
  return Math.max(1, count);
}

function startOf(token: Token): number | undefined {
  const start = Number(token.attrGet("start") ?? 1);
  return start === 1 ? undefined : start;
}

function alignmentOf(token: Token): string | undefined {
  const align = /text-align:(\w+)/.exec(token.attrGet("style") ?? "")?.[1];
  return align && `md-${align}`;
}

/** The words of a part, without markup. */
export function textOf(tokens: readonly Token[]): string {
  return tokens.map((token) => (token.children ? textOf(token.children) : token.type.endsWith("break") ? " " : token.content)).join("");
}

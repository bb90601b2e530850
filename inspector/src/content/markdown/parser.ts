import { tex } from "@mdit/plugin-tex";
import MarkdownIt from "markdown-it";
import { brackets } from "./brackets";

/** What a text refers to by name, as in `[1]: https://…`. */
export interface References {
  references?: Record<string, unknown>;
}

/**
 * Markdown into tokens. Markup of HTML stays text: nothing that a model writes becomes an element of the page but
 * by `render.tsx`. A line break in the text is one on the page, as people and models mean it.
 */
export const parser = new MarkdownIt({ html: false, linkify: true, breaks: true });

// Only what has a scheme is an address: `notes.md` and `main.rs` are files, not sites.
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
// Which addresses can be followed is judged in one place, links.ts; what cannot stays readable.
parser.validateLink = () => true;
// The brackets of the plugin are read to the end of the text for each that is opened.
parser.use(tex, { delimiters: "dollars", render: (content) => content }).use(brackets);
// The one tag that is needed: a cell of a table cannot have a line break otherwise.
parser.inline.ruler.before("html_inline", "line_break", (state, silent) => {
  const tag = /^<br\s{0,9}\/?>/i.exec(state.src.slice(state.pos, state.pos + 16))?.[0];
  if (!tag) return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += tag.length;
  return true;
});

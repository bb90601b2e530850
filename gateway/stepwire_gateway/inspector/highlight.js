/**
 * Colours for code through the CSS Custom Highlight API: ranges over the text that is there, so
 * that no markup is made from it. A browser without the API shows it plain.
 */

const KEYWORDS =
  "and as async await break case catch class const continue def del elif else except export " +
  "extends false finally for from func function if import in is lambda let match new nil none " +
  "not null or pass raise return self switch throw true try type undefined var while with yield " +
  "select insert update delete from where join left right inner on group by order limit values " +
  "into create table set having distinct fn pub struct impl enum use mut echo fi then done do";

const WORDS = new Set(KEYWORDS.split(" "));
const TOKEN = new RegExp([
  /(?<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')(?<key>\s*:)?/,
  /(?<comment>(?:#|\/\/|--\s).*)/,
  /(?<number>-?\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)/,
  /(?<word>\b[a-z_]\w*\b)/,
].map((pattern) => pattern.source).join("|"), "gi");
const PLAIN = new Set(["text", "plain", "plaintext", "markdown", "md"]);

/** Past this, the ranges cost more than the colours are worth. */
const MAX_CHARS = 100_000;

const supported = typeof Highlight === "function" && Boolean(globalThis.CSS?.highlights);

/** @param {string} kind */
function group(kind) {
  const name = `code-${kind}`;
  if (!CSS.highlights.has(name)) CSS.highlights.set(name, new Highlight());
  return CSS.highlights.get(name);
}

/**
 * @param {Text[]} nodes
 * @param {string} language
 * @returns {() => void} takes the colours away again
 */
export function highlight(nodes, language) {
  const chars = nodes.reduce((sum, node) => sum + node.length, 0);
  if (!supported || chars > MAX_CHARS || PLAIN.has(language)) return () => {};
  /** @type {[string, StaticRange][]} */
  const ranges = [];
  for (const node of nodes) {
    for (const { kind, start, end } of tokens(node.data, language)) {
      ranges.push([kind, new StaticRange({
        startContainer: node, startOffset: start, endContainer: node, endOffset: end,
      })]);
    }
  }
  for (const [kind, range] of ranges) group(kind).add(range);
  return () => ranges.forEach(([kind, range]) => group(kind).delete(range));
}

/**
 * @param {string} code
 * @param {string} language
 * @returns {Generator<{kind: string, start: number, end: number}>}
 */
export function* tokens(code, language) {
  for (const match of code.matchAll(TOKEN)) {
    const { string, key, comment, number, word } = match.groups;
    const start = match.index;
    const token = (kind, text) => ({ kind, start, end: start + text.length });
    if (string) yield token(key ? "key" : "string", string);
    else if (comment && language !== "json") yield token("comment", comment);
    else if (number) yield token("number", number);
    else if (word && WORDS.has(word.toLowerCase())) yield token("word", word);
  }
}

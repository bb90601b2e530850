import { looksLikeJson } from "./json";

/** How a text is shown. */
export type Form = "markdown" | "json" | "code" | "plain";

const FORMS: Readonly<Record<string, Form>> = {
  markdown: "markdown", md: "markdown", gfm: "markdown", mdx: "markdown",
  json: "json",
  text: "plain", txt: "plain", plain: "plain", plaintext: "plain", log: "plain",
};

/** A longer text is read as it is: to look for marks in it would hold up the page. */
const MOST_CHARS = 300_000;

/** What a text is meant to be, by the word of its author, or by its looks where there is none. */
export function formOf(text: string, language: string | null, isMessage: boolean, streaming: boolean): Form {
  const word = typeof language === "string" ? language.trim().toLowerCase() : "";
  if (text.length > MOST_CHARS && FORMS[word] !== "json") return "plain";
  if (word) return Object.hasOwn(FORMS, word) ? FORMS[word]! : "code";
  if (isMessage) return "markdown";
  return !streaming && looksLikeJson(text) ? "json" : "plain";
}

/** Whether it is worth to offer it as Markdown, though nobody has said that it is. */
export function looksLikeMarkdown(text: string): boolean {
  return text.length <= MOST_CHARS && /^#{1,6} \S|^```|\*\*\S|^\s*[-*] \S|^\|.*\||\]\(https?:/m.test(text.slice(0, 20_000));
}

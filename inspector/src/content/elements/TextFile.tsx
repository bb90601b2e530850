import type { StepElement } from "stepwire";
import { Content } from "../Content";
import { parsed, type Json } from "../text/json";
import { JsonTree } from "../text/JsonTree";
import { Misfit } from "./misfit";
import { Fetched } from "./Fetched";

/** Longer ones are saved to be read: no page holds them well. */
const MOST_CHARS = 2_000_000;

/** Text or code, in the language that its author names, or that its type does. */
export function TextFile({ element }: { readonly element: StepElement }) {
  const language = languageOf(element);
  return (
    <Fetched element={element} read={textOf}>
      {(text) => (text === "" ? <p className="hint">It is empty.</p> : <Content text={text} language={language} what="text" place={element.id} />)}
    </Fetched>
  );
}

/** A structure, as a tree. */
export function JsonFile({ element }: { readonly element: StepElement }) {
  return <Fetched element={element} read={jsonOf}>{(value) => <div className="element-box"><JsonTree value={value} /></div>}</Fetched>;
}

async function textOf(blob: Blob): Promise<string> {
  const charset = /charset="?([\w.:-]+)/i.exec(blob.type)?.[1] ?? "utf-8";
  const buffer = await blob.arrayBuffer();
  const text = decoderOf(charset).decode(buffer);
  if (/[\0-\x08\x0e-\x1a]/.test(text.slice(0, 4000))) throw new Misfit("It is not text: download it to look into it.");
  return text.length <= MOST_CHARS ? text : `${text.slice(0, MOST_CHARS)}\n… (${(text.length - MOST_CHARS).toLocaleString()} more characters: download it)`;
}

function decoderOf(charset: string): TextDecoder {
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}

async function jsonOf(blob: Blob): Promise<Json> {
  const value = parsed(await blob.text());
  if (value === undefined) throw new Misfit("It is not JSON, though its type says so.");
  return value;
}

function languageOf({ props, mime }: StepElement): string | null {
  const language = (props as { language?: unknown } | undefined)?.language;
  if (typeof language === "string" && language) return language;
  return /^text\/(x-)?markdown\b/.test(mime ?? "") ? "markdown" : null;
}

import { useMemo, useState } from "react";
import { Markdown } from "./markdown/Markdown";
import { Code } from "./text/Code";
import { CopyButton } from "./text/CopyButton";
import { Folded, Place } from "./text/Folded";
import { JsonTree } from "./text/JsonTree";
import { formOf, looksLikeMarkdown, type Form } from "./text/form";
import { parsed, type Json } from "./text/json";
import { countLines } from "./text/lines";
import { Plain } from "./text/Plain";
import "./content.css";

export interface ContentProps {
  readonly text: string;
  /** The step's own word for what the text is: "markdown", or a language of code; null for plain text, which may be Markdown in a message. */
  readonly language?: string | null;
  /** A message of the conversation: Markdown unless `language` says another thing. */
  readonly message?: boolean;
  /** It may still grow. */
  readonly streaming?: boolean;
  /** What it is called where it is copied. */
  readonly what?: string;
  /** Of what it is the text, such as a step's id: what the reader has unfolded stays so when it comes into view again. */
  readonly place?: string;
}

/** An answer of a page is read as a whole; what a tool has returned is looked at. */
const FOLDED_FROM = { message: 200, other: 40 };

/** A text as it is meant: prose, Markdown, LaTeX, code or a structure. Whoever has written it, nothing of it runs or loads. */
export function Content({ text, language = null, message = false, streaming = false, what = "text", place = "" }: ContentProps) {
  const meant = formOf(text, language, message, streaming);
  const json = useMemo(() => (meant === "json" && !streaming ? parsed(text) : undefined), [meant, streaming, text]);
  const [chosen, setChosen] = useState<Form | null>(null);
  const form = chosen ?? (meant !== "json" || json !== undefined ? meant : language ? "code" : "plain");
  const other = otherForm(form, meant, text, json);
  if (text === "") return null;
  return (
    <Place value={place}>
      <div className={message ? "content message-text" : "content"} data-form={form}>
        <div className="content-shown">
          <Folded lines={countLines(text)} from={message ? FOLDED_FROM.message : FOLDED_FROM.other} growing={streaming}>
            <Shown form={form} text={text} language={language} json={json} streaming={streaming} />
          </Folded>
        </div>
        <div className="content-tools">
          {other && (
            <button type="button" className="button quiet" onClick={() => setChosen(other)}>{NAMES[other]}</button>
          )}
          <CopyButton text={() => text} what={what} />
        </div>
      </div>
    </Place>
  );
}

const NAMES: Record<Form, string> = { markdown: "Markdown", json: "Tree", code: "Source", plain: "Source" };

interface ShownProps {
  readonly form: Form;
  readonly text: string;
  readonly language: string | null;
  readonly json: Json | undefined;
  readonly streaming: boolean;
}

function Shown({ form, text, language, json, streaming }: ShownProps) {
  if (form === "markdown") return <Markdown text={text} streaming={streaming} />;
  if (form === "json" && json !== undefined) return <JsonTree value={json} />;
  if (form === "code") return <Code code={text} language={language ?? "json"} growing={streaming} alone />;
  return <Plain text={text} />;
}

/** The form that the reader may choose beside the one that is shown. */
function otherForm(form: Form, meant: Form, text: string, json: Json | undefined): Form | null {
  if (form === "markdown") return "plain";
  if (form === "json") return "code";
  if (meant === "markdown") return "markdown";
  if (meant === "json") return json === undefined ? null : "json";
  return form === "plain" && looksLikeMarkdown(text) ? "markdown" : null;
}

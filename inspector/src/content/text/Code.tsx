import { Fragment, useEffect, useState, type ReactNode } from "react";
import { inSlices } from "../slices";
import { CopyButton } from "./CopyButton";
import type { Piece } from "./highlighting";
import { Chunks } from "./lines";

interface Props {
  readonly code: string;
  readonly language: string | null;
  /** More of it may come: it gets its colours when it is whole. */
  readonly growing?: boolean;
  /** It stands alone: what is around it has a button to copy it. */
  readonly alone?: boolean;
}

/** Longer code, or code in longer lines, stays plain: the colours would cost more than they are worth. */
const MOST_CHARS = 60_000;
const LONGEST_LINE = 2000;
const CHUNK_LINES = 64;

/** Code under a line with its language and a button, which covers nothing of it. */
export function Code({ code, language, growing = false, alone = false }: Props) {
  const lines = useHighlighted(code, language, growing);
  const text = code.replace(/\n$/, "");
  const shown = (
    <pre className="code" dir="ltr" tabIndex={0} aria-label={language ? `Code in ${language}` : "Code"} role="group">
      {lines ? coloured(lines) : <PlainCode code={text} />}
    </pre>
  );
  return (
    <div className={alone ? "code-box alone" : "code-box"}>
      {!alone && (
        <div className="code-head">
          <span className="code-language">{language ?? "text"}</span>
          <CopyButton text={() => text} what="code" />
        </div>
      )}
      {shown}
    </div>
  );
}

function PlainCode({ code }: { readonly code: string }) {
  const [chunks] = useState(() => new Chunks());
  return chunks.take(code).map((chunk, at) => <code key={at} className="chunk">{chunk.replace(/\n$/, "") || "\u200b"}</code>);
}

function coloured(lines: readonly Piece[][]): ReactNode[] {
  const chunks: ReactNode[] = [];
  for (let from = 0; from < lines.length; from += CHUNK_LINES) {
    chunks.push(
      <code key={from} className="chunk">
        {lines.slice(from, from + CHUNK_LINES).map((line, at) => (
          <Fragment key={at}>
            {at > 0 && "\n"}
            {line.map(({ text, kind }, place) => (kind ? <span key={place} className={kind}>{text}</span> : text))}
          </Fragment>
        ))}
      </code>,
    );
  }
  return chunks;
}

/** The pieces of code that is whole, once its grammar is there. */
function useHighlighted(code: string, language: string | null, growing: boolean): readonly Piece[][] | null {
  const [made, setMade] = useState<{ readonly code: string; readonly lines: Piece[][] | null } | null>(null);
  const wanted = !growing && language !== null && code.length <= MOST_CHARS && !hasLongLine(code);
  useEffect(() => {
    if (!wanted) return;
    return inSlices(async () => {
      // Without its colours, code is code.
      const highlighting = await import("./highlighting").catch(() => null);
      return () => setMade({ code, lines: highlighting?.highlight(code.replace(/\n$/, ""), language.toLowerCase()) ?? null });
    });
  }, [code, language, wanted]);
  return wanted && made?.code === code ? made.lines : null;
}

function hasLongLine(code: string): boolean {
  for (let from = 0; from < code.length; ) {
    const end = code.indexOf("\n", from);
    if ((end < 0 ? code.length : end) - from > LONGEST_LINE) return true;
    if (end < 0) return false;
    from = end + 1;
  }
  return false;
}

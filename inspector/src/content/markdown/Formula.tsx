import { useEffect, useRef, useState } from "react";
import { useSeen } from "../elements/seen";
import { inSlices } from "../slices";

type Renderer = typeof import("./katex").renderFormula;

let loading: Promise<Renderer> | null = null;
const load = () => (loading ??= import("./katex").then(({ renderFormula }) => renderFormula).catch((error: unknown) => {
  loading = null;
  throw error;
}));

/** A longer one is shown as it is written: it is no formula, or one that costs more than it is worth. */
const MOST_CHARS = 3000;
/** Each cell of a matrix is laid out for itself. */
const MOST_CELLS = 400;

/** A formula; its source until it can be drawn, and where it cannot. */
export function Formula({ tex, display }: { readonly tex: string; readonly display: boolean }) {
  const place = useRef<HTMLSpanElement>(null);
  // Thousands of them are drawn as the reader comes to them.
  const [around, seen] = useSeen<HTMLSpanElement>();
  const [state, setState] = useState<"source" | "drawn" | { fault: string }>("source");
  useEffect(() => {
    const excess = excessOf(tex);
    if (excess) return setState({ fault: excess });
    if (!seen) return;
    return inSlices(async () => {
      try {
        const render = await load();
        return () => {
          if (!place.current) return;
          try {
            render(tex, display, place.current);
            setState("drawn");
          } catch (error) {
            setState({ fault: reasonOf(error) });
          }
        };
      } catch {
        return () => setState({ fault: "formulas cannot be drawn: a part of this page could not be loaded" });
      }
    });
  }, [tex, display, seen]);
  const drawn = state === "drawn";
  const fault = typeof state === "object" ? state.fault : undefined;
  return (
    <span ref={around} className={display ? "md-formula md-display" : "md-formula"} dir="ltr">
      <span ref={place} className="md-drawn" hidden={!drawn} />
      {!drawn && <code className={fault ? "md-tex md-fault" : "md-tex"} title={fault}>{tex}</code>}
    </span>
  );
}

function excessOf(tex: string): string | null {
  if (tex.length > MOST_CHARS) return `a formula of more than ${MOST_CHARS.toLocaleString()} characters`;
  return tex.split(/&|\\\\/).length > MOST_CELLS ? `a formula with more than ${MOST_CELLS} cells` : null;
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^KaTeX parse error: /, "").slice(0, 300);
}

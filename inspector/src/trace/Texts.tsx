import type { Step } from "stepwire";
import { useStepText } from "stepwire/react";
import { count } from "../app/words";
import { Content } from "../content";
import { useOpenState } from "./context";
import { isMessage } from "./open";

const FOLDABLE_LINES = 30;
const FOLDABLE_CHARS = 4000;
/** From so many on it starts folded. */
const LONG = 10;

/** The input of a step, if it is to be shown, and its output. */
export function Texts({ step }: { readonly step: Step }) {
  const { id, show_input, language } = step;
  const input = useStepText(id, "input");
  const output = useStepText(id);
  return (
    <>
      {show_input !== false && input && (
        <div className="field-text" data-field="input">
          <span className="field-name">Input</span>
          <Content text={input} language={typeof show_input === "string" ? show_input : null} />
        </div>
      )}
      {output && (
        <div className="field-text" data-field="output">
          <Foldable step={step} text={output}>
            <Content text={output} language={language} message={isMessage(step)} streaming={step.status === "running"} />
          </Foldable>
        </div>
      )}
    </>
  );
}

/** A long text, of which the beginning stands there until the person wants all of it. */
function Foldable({ step, text, children }: { readonly step: Step; readonly text: string; readonly children: React.ReactNode }) {
  const open = useOpenState();
  const lines = text.length > FOLDABLE_CHARS ? (text.match(/\n/g)?.length ?? 0) + 1 : text.split("\n", FOLDABLE_LINES + 1).length;
  if (lines <= FOLDABLE_LINES && text.length <= FOLDABLE_CHARS) return children;
  const isOpen = open.isTextOpen(step, lines > LONG * FOLDABLE_LINES || text.length > LONG * FOLDABLE_CHARS);
  return (
    <>
      <div className={isOpen ? undefined : "folded"}>{children}</div>
      <button type="button" className="button quiet" aria-expanded={isOpen} onClick={() => open.set(`text:${step.id}`, !isOpen)}>
        {isOpen ? "Fold" : `Show all ${count(lines, "line")}`}
      </button>
    </>
  );
}

import type { Step } from "stepwire";
import { useStepText } from "stepwire/react";
import { Content } from "../content";
import { isMessage } from "./open";

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
          <Content text={input} language={typeof show_input === "string" ? show_input : null} place={`input:${id}`} what="input" />
        </div>
      )}
      {output && (
        <div className="field-text" data-field="output">
          <Content text={output} language={language} message={isMessage(step)} streaming={step.status === "running"} place={`output:${id}`} what="output" />
        </div>
      )}
    </>
  );
}

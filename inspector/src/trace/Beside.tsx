import type { Step } from "stepwire";
import { Elements } from "../content";
import { Feedback, MessageActions, Question } from "../talk";

/** What stands with a step: its elements, questions and buttons, and what people say of it. */
export function Beside({ step: { id, disable_feedback } }: { readonly step: Step }) {
  return (
    <>
      <Elements stepId={id} />
      <Question stepId={id} />
      <MessageActions stepId={id} />
      {!disable_feedback && <Feedback stepId={id} />}
    </>
  );
}

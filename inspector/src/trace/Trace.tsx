import { useRows, useStep } from "stepwire/react";
import { follow, hrefOf } from "../app/address";
import { useSession } from "../app/session";
import { Content, Elements, Progress, Usage } from "../content";
import { RunStatus } from "../lists";
import { Feedback, MessageActions, Question, RunActions } from "../talk";
import "./trace.css";

/** The session as a list of what is to be seen. */
export function Trace() {
  const rows = useRows();
  return (
    <div className="trace">
      {rows.map(({ kind, id, depth }) => (kind === "step" ? <Step key={id} id={id} depth={depth} /> : <RunActions key={id} runId={id} />))}
      <RunStatus />
    </div>
  );
}

function Step({ id, depth }: { readonly id: string; readonly depth: number }) {
  const step = useStep(id);
  const session = useSession();
  if (!step) return null;
  const place = { session: session.id, step: id };
  const isMessage = step.type.endsWith("_message");
  return (
    <article style={{ marginInlineStart: `${depth}rem` }} data-type={step.type}>
      <a href={hrefOf(place)} onClick={(event) => follow(event, place)}>{step.name || step.type}</a>
      {step.progress && <Progress progress={step.progress} />}
      <Usage stepId={id} />
      <Content text={step.output} language={step.language} message={isMessage} streaming={step.status === "running"} />
      <Elements stepId={id} />
      <Question stepId={id} />
      <MessageActions stepId={id} />
      {!step.disable_feedback && <Feedback stepId={id} />}
    </article>
  );
}

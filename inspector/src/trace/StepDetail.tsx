import { useStep, useStepText, useStore } from "stepwire/react";
import { hrefOf } from "../app/address";
import { useSession } from "../app/session";
import { Content, CopyButton, Elements, Progress, Usage } from "../content";
import { Icon, iconOf } from "../design/Icon";
import { Feedback, MessageActions, Question } from "../talk";
import { download } from "./download";
import { ErrorText } from "./ErrorText";
import { Facts, type Fact } from "./Facts";
import { isMessage } from "./open";
import { RawEvents } from "./RawEvents";
import { StatusMark } from "./StepRow";
import { Timing } from "./Timing";
import { spanOfStep } from "./times";

/** Of a deep tree, so many names of what stands above a step tell where it is. */
const MOST_ABOVE = 6;

/** Everything about one step. */
export function StepDetail({ id }: { readonly id: string }) {
  const session = useSession();
  const { store } = session;
  const step = useStep(id);
  const path = useStore("rows", () => store.path(id));
  const input = useStepText(id, "input");
  const output = useStepText(id);
  if (!step) return <p className="hint">The session does not have this step, or not any more.</p>;
  const { name, type, status, error, tags, metadata, language, show_input, progress, icon } = step;
  const whole = () => ({
    step, elements: store.elements(id), asks: store.asks(id), actions: store.actions(id), feedback: store.feedback(id),
  });
  const facts: Fact[] = [
    ["Step", id], ["Run", step.run_id, step.run_id && { session: session.id, step: `run:${step.run_id}` }],
    ["Attempt", step.attempt || null], ["Result of attempt", step.from_attempt ?? null],
    ["Above it", step.parent_id, step.parent_id && store.step(step.parent_id) ? { session: session.id, step: step.parent_id } : null],
    ["Language", language], ["Icon", icon],
  ];
  return (
    <>
      <header className="detail-head" data-type={type} data-status={status}>
        <span className="line-type" data-type={type}><Icon name={iconOf(type)} /></span>
        <h2>{name || "unnamed"}</h2>
        <span className="chip">{type}</span><StatusMark status={status} />
      </header>
      <div className="detail-actions">
        <CopyButton text={() => id} what="id" />
        <CopyButton text={() => new URL(hrefOf({ session: session.id, step: id }), location.href).href} what="link to this step" />
        <button type="button" className="button quiet" onClick={() => download(`${name || id}.json`, whole())}><Icon name="download" />JSON</button>
        <Usage stepId={id} />
        {!step.disable_feedback && <Feedback stepId={id} />}
      </div>
      {path.length > 1 && <p className="hint detail-path">{path.length > MOST_ABOVE + 1 && `${path.length - 1 - MOST_ABOVE} more › `}{path.slice(0, -1).slice(-MOST_ABOVE).map((above) => store.step(above)?.name || "unnamed").join(" › ")}</p>}
      {error && <ErrorText error={error} />}
      {progress && status === "running" && <Progress progress={progress} />}
      <Timing runId={step.run_id} of={(within, now) => spanOfStep(within, step, now)} status={status} />
      {tags.length > 0 && <p className="detail-tags">{tags.map((tag, at) => <span className="chip tag" key={at}>{String(tag)}</span>)}</p>}
      {input && (
        <section className="detail-text" aria-label="Input">
          <h3>Input</h3>
          <Content text={input} language={typeof show_input === "string" ? show_input : null} place={`detail:input:${id}`} what="input" />
        </section>
      )}
      {output && (
        <section className="detail-text" aria-label="Output">
          <h3>Output</h3>
          <Content text={output} language={language} message={isMessage(step)} streaming={status === "running"} place={`detail:output:${id}`} what="output" />
        </section>
      )}
      <Elements stepId={id} />
      <Question stepId={id} />
      <MessageActions stepId={id} />
      <Facts facts={facts} />
      {Object.keys(metadata).length > 0 && (
        <section className="detail-text" aria-label="Metadata">
          <h3>Metadata</h3>
          <Content text={JSON.stringify(metadata, null, 2)} language="json" />
        </section>
      )}
      <RawEvents id={id} key={id} />
    </>
  );
}

import { useRun } from "stepwire/react";
import { hrefOf } from "../app/address";
import { useSession } from "../app/session";
import { CopyButton } from "../content";
import { Icon } from "../design/Icon";
import { RunActions } from "../talk";
import { Attempts } from "./Attempts";
import { download } from "./download";
import { ErrorText } from "./ErrorText";
import { Facts } from "./Facts";
import { RawEvents } from "./RawEvents";
import { RunUsage } from "./RunUsage";
import { StatusMark } from "./StepRow";
import { Timing } from "./Timing";
import { spanOfRun } from "./times";

/** Everything about a run. */
export function RunDetail({ id }: { readonly id: string }) {
  const session = useSession();
  const run = useRun(id);
  if (!run) return <p className="hint">The session does not have this run, or not any more.</p>;
  const { handler, status, attempt, error, will_retry, usage } = run;
  return (
    <>
      <header className="detail-head" data-status={status}>
        <span className="line-type" data-type="run"><Icon name="run" /></span>
        <h2>{handler}</h2>
        <span className="chip">run</span><StatusMark status={status} />
        {will_retry && <span className="chip" data-status="interrupted">will retry</span>}
      </header>
      <div className="detail-actions">
        <CopyButton text={() => id} what="id" />
        <CopyButton text={() => new URL(hrefOf({ session: session.id, step: `run:${id}` }), location.href).href} what="link to this run" />
        <button type="button" className="button quiet" onClick={() => download(`${handler}.json`, { run, steps: session.store.steps().filter(({ run_id }) => run_id === id) })}><Icon name="download" />JSON</button>
        <RunUsage usage={usage} />
        <RunActions runId={id} />
      </div>
      {error && <ErrorText error={error} />}
      <Timing runId={id} of={(within, now) => spanOfRun(within, run, now)} status={status} />
      {attempt > 1 && <Attempts runId={id} />}
      <Facts facts={[
        ["Run", id], ["Attempt", attempt],
        ["Message", run.message_id, run.message_id && { session: session.id, step: run.message_id }],
        ["Started by", run.parent_run_id, run.parent_run_id && { session: session.id, step: `run:${run.parent_run_id}` }],
      ]} />
      <RawEvents id={id} key={id} />
    </>
  );
}

import type { Row } from "stepwire";
import { useRun } from "stepwire/react";
import { useSession } from "../app/session";
import { duration } from "../app/words";
import { Icon } from "../design/Icon";
import { RunActions } from "../talk";
import { useTrace } from "./context";
import { Indent } from "./Indent";
import { StatusMark } from "./StepRow";
import { spanOfRun } from "./times";
import { RunUsage } from "./RunUsage";
import { Took } from "./Took";

const TOLD_WAIT_MS = 1000;

/** A run: what was called, how often, how it ended. */
export function RunRow({ item, isSelected }: { readonly item: Row; readonly isSelected: boolean }) {
  const run = useRun(item.id);
  const { select, hasBars } = useTrace();
  const { store } = useSession();
  if (!run) return null;
  const { handler, status, attempt, will_retry, error, usage } = run;
  const isRunning = status === "running";
  const { waitedFrom, start } = spanOfRun(store, run, 0);
  return (
    <div className="run" data-run-id={item.id} data-status={status} data-message={run.message_id} data-selected={isSelected || undefined}>
      <div className="line" onClick={() => select(item.key)}>
        <Indent depth={item.depth} />
        <span className="line-type" data-type="run" title="run"><Icon name="run" /></span>
        <span className="line-name run-handler">{handler}</span>
        <StatusMark status={status} />
        {attempt > 1 && <span className="chip">attempt {attempt}</span>}
        {will_retry && <span className="chip" data-status="interrupted">will retry</span>}
        {start - waitedFrom >= TOLD_WAIT_MS && <span className="chip"><Icon name="clock" />waited {duration(start - waitedFrom)}</span>}
        <RunUsage usage={usage} />
        {error && <span className="line-error" title={error.message}>{error.type}: {error.message}</span>}
        <span className="run-actions" onClick={(event) => event.stopPropagation()}><RunActions runId={item.id} /></span>
        <span className="preview" />
        <Took runId={item.id} of={(within, now) => spanOfRun(within, run, now)} isRunning={isRunning} status={status} hasBar={hasBars} />
      </div>
    </div>
  );
}

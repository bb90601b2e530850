import { useDeferredValue, useState } from "react";
import type { QueueOverview, RunEntry, WorkerDocument } from "stepwire/lists";
import { FailedRuns } from "./FailedRuns";
import "./lists.css";
import { Session, Since } from "./parts";
import { local, span, useNow } from "./time";
import { useOperations } from "./useOperations";

/** Workers, the queue, what waits and why, and runs that failed: for callers with the right `admin`. */
export function Operations() {
  const [handler, setHandler] = useState("");
  const [subject, setSubject] = useState("");
  const [tag, setTag] = useState("");
  const query = useDeferredValue({ handler: handler.trim() || undefined, subject: subject.trim() || undefined, tag: tag.trim() || undefined });
  const { found, error, lookAgain } = useOperations(query);
  if (error?.status === 403 || error?.status === 401) {
    return (
      <div className="ops">
        <h2>Operations</h2>
        <p className="banner" role="alert">This page is for operators: it needs a token with the right <code>admin</code> in all sessions. <span className="hint">{error.message}</span></p>
      </div>
    );
  }
  return (
    <div className="ops">
      <div className="lists-row ops-head">
        <h2>Operations</h2>
        {found && <Fresh atMs={found.atMs} />}
      </div>
      {error && <p className="banner bad" role="alert">{error.message}{error.passes ? " · asked again every few seconds" : ""}</p>}
      {found ? (
        <>
          <Numbers queue={found.queue} workers={found.workers} />
          <Workers workers={found.workers} />
          <Handlers queue={found.queue} />
          <form className="ops-filter" role="search" aria-label="Runs" onSubmit={(event) => event.preventDefault()}>
            <input className="field" aria-label="Handler or task" placeholder="Handler or task" value={handler} onChange={(event) => setHandler(event.target.value)} />
            <input className="field" aria-label="Subject" placeholder="Subject" value={subject} onChange={(event) => setSubject(event.target.value)} />
            <input className="field" aria-label="Tag" placeholder="Tag" value={tag} onChange={(event) => setTag(event.target.value)} />
          </form>
          <Runs runs={found.runs} hasMore={found.hasMoreRuns} hasWorkers={found.queue.slots > 0} />
          <FailedRuns runs={found.failed} hasMore={found.hasMoreFailed} query={query} onChange={lookAgain} />
        </>
      ) : !error && <p className="hint" role="status">Loading…</p>}
    </div>
  );
}

function Fresh({ atMs }: { readonly atMs: number }) {
  const ms = useNow(1000) - atMs;
  return <span className="hint">{ms > 8000 ? `as of ${span(ms)} ago` : "live"}</span>;
}

function Numbers({ queue, workers }: { readonly queue: QueueOverview; readonly workers: readonly WorkerDocument[] }) {
  const ready = workers.filter(({ state }) => state === "ready").length;
  return (
    <>
      {ready === 0 && <p className="banner bad" role="alert">No worker takes runs{queue.queued > 0 ? `: ${queue.queued.toLocaleString()} wait` : ""}. Start one with <code>stepwire worker</code>.</p>}
      <dl className="ops-numbers">
        <Number name="Workers" value={ready} about={workers.length > ready ? `${workers.length - ready} not ready` : `${queue.slots.toLocaleString()} slots`} />
        <Number name="Running" value={queue.running} about={queue.slots ? `of ${queue.slots.toLocaleString()} slots` : ""} />
        <Number name="Queued" value={queue.queued} about={queue.longest_wait_s === null ? "none waits" : `longest ${span(queue.longest_wait_s * 1000)}`} />
        <Number name="Held by limits" value={queue.held} />
        <Number name="Later" value={queue.deferred} about="time, turn or retry" />
        <Number name="Failed" value={queue.failed} tone={queue.failed > 0 ? "error" : undefined} to="ops-failed" />
      </dl>
    </>
  );
}

function Number({ name, value, about = "", tone, to }: { readonly name: string; readonly value: number; readonly about?: string; readonly tone?: string | undefined; readonly to?: string }) {
  return (
    <div className="ops-number" data-status={tone}>
      <dt>{name}</dt>
      <dd><strong>{value.toLocaleString()}</strong> {to && value > 0
        ? <button type="button" className="button quiet" onClick={() => document.getElementById(to)?.scrollIntoView({ block: "start" })}>Show</button>
        : <span className="hint">{about}</span>}</dd>
    </div>
  );
}

function Workers({ workers }: { readonly workers: readonly WorkerDocument[] }) {
  return (
    <section>
      <h3 id="ops-workers">Workers</h3>
      {workers.length === 0 ? <p className="hint">None is registered.</p> : (
        <div className="ops-wide" tabIndex={0} role="region" aria-labelledby="ops-workers">
          <table>
            <thead><tr><th scope="col">Worker</th><th scope="col">State</th><th scope="col">Slots</th><th scope="col">Runs</th><th scope="col">Handlers</th><th scope="col">Version</th><th scope="col">Up</th></tr></thead>
            <tbody>
              {workers.map((worker) => (
                <tr key={worker.id}>
                  <th scope="row"><bdi>{worker.host}</bdi>:{worker.pid}</th>
                  <td><span className="chip" data-status={worker.state === "ready" ? "ok" : worker.state === "stopping" ? "cancelled" : "interrupted"} title={STATES[worker.state]}>{worker.state}</span>{worker.left_behind ? <span className="hint" title="Tasks or threads that could not be stopped">{" "}+{worker.left_behind} left behind</span> : null}</td>
                  <td>{worker.running} / {worker.max_jobs}</td>
                  <td>{(worker.runs ?? []).length === 0 ? <span className="hint">idle</span> : <ul>{worker.runs!.map((run) => <li key={run.run_id}><Session id={run.session_id} words={run.handler} /> <Since at={run.since} />{run.attempt > 1 && ` · attempt ${run.attempt}`}</li>)}</ul>}</td>
                  <td className="ops-words">{worker.handlers.join(", ")}</td>
                  <td>{worker.version}</td>
                  <td><Since at={worker.since} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const STATES: Readonly<Record<string, string>> = {
  ready: "It takes runs.",
  stopping: "It takes no more runs.",
  blocked: "Its event loop has been held up for a whole lease.",
  stalled: "It has room for runs, and Redis has answered none of its requests for a whole lease.",
  silent: "It has missed a renewal: paused, cut off or dead.",
};

function Handlers({ queue: { handlers, is_complete } }: { readonly queue: QueueOverview }) {
  if (handlers.length === 0) return null;
  return (
    <section>
      <h3 id="ops-handlers">Handlers</h3>
      <div className="ops-wide" tabIndex={0} role="region" aria-labelledby="ops-handlers">
        <table>
          <thead><tr><th scope="col">Handler</th><th scope="col">Running</th><th scope="col">Limit</th><th scope="col">Waiting</th></tr></thead>
          <tbody>{handlers.map(({ handler, running, waiting, max_running }) => (
            <tr key={handler}>
              <th scope="row"><bdi>{handler || "unknown"}</bdi></th><td>{running}</td>
              <td>{max_running ?? <span className="hint">none</span>}{max_running != null && (running ?? 0) >= max_running && <span className="chip" data-status="interrupted">full</span>}</td>
              <td>{waiting}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {!is_complete && <p className="hint">Of those that wait, the first 1,000 are counted.</p>}
    </section>
  );
}

function Runs({ runs, hasMore, hasWorkers }: { readonly runs: readonly RunEntry[]; readonly hasMore: boolean; readonly hasWorkers: boolean }) {
  return (
    <section>
      <h3 id="ops-runs">Running and waiting</h3>
      {runs.length === 0 ? <p className="hint">Nothing runs, and nothing waits.</p> : (
        <div className="ops-wide" tabIndex={0} role="region" aria-labelledby="ops-runs">
          <table>
            <thead><tr><th scope="col">Run</th><th scope="col">Status</th><th scope="col">Why, or where</th><th scope="col">Since</th><th scope="col">Subject</th><th scope="col">Priority</th></tr></thead>
            <tbody>{runs.map((run) => (
              <tr key={`${run.run_id} ${run.status}`}>
                <th scope="row"><Session id={run.session_id} words={run.handler} /> {(run.tags ?? []).map((word) => <span key={word} className="chip">{word}</span>)}</th>
                <td><span className="chip" data-status={run.status === "running" ? "running" : "cancelled"}>{run.status}</span></td>
                <td>{why(run, hasWorkers)}</td>
                <td>{run.started_at ? <Since at={run.started_at} /> : run.queued_at ? <Since at={run.queued_at} /> : null}</td>
                <td><bdi>{run.subject}</bdi></td>
                <td>{run.priority || null}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {hasMore && <p className="hint">These are the first {runs.length}: filter by handler, subject or tag for others.</p>}
    </section>
  );
}

function why(run: RunEntry, hasWorkers: boolean): string {
  switch (run.status) {
    case "running": return run.host ? `${run.host}:${run.pid}${(run.attempt ?? 1) > 1 ? ` · attempt ${run.attempt}` : ""}` : "a worker has just taken it";
    case "queued": return hasWorkers ? "waits for a slot" : "no worker takes runs";
    case "held": return "its handler or subject has as many runs as it may";
    case "deferred": return run.due_at ? `its time, its turn or a retry; looked at ${local(run.due_at)}` : "its time";
    default: return "";
  }
}

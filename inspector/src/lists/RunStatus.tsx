import { useEffect } from "react";
import type { Run, WaitingRun } from "stepwire";
import { useStore } from "stepwire/react";
import { announce } from "../app/announce";
import { useSession } from "../app/session";
import { Icon, iconOf } from "../design/Icon";
import { usageWords } from "./usageWords";
import "./lists.css";
import { local, span, useNow } from "./time";
import { useWaiting } from "./useWaiting";

const MOST = 5;

/** Below the trace: what was asked for and does not run yet, and why; then the run that came last. */
export function RunStatus() {
  const session = useSession();
  const run = useStore("runs", (store) => store.runs().at(-1));
  const waiting = useWaiting().filter(({ run_id }) => {
    const known = session.store.run(run_id);
    return !known || known.will_retry;
  });
  const why = waiting[0] && reason(waiting[0]);
  useEffect(() => {
    if (why) announce(`Waiting: ${why}`);
  }, [why]);
  if (waiting.length === 0 && !run) return null;
  return (
    <ul className="lists-status" aria-label="Runs">
      {waiting.slice(0, MOST).map((one) => <Waiting key={one.run_id} run={one} />)}
      {waiting.length > MOST && <li className="lists-run">and {waiting.length - MOST}{waiting.length === 100 ? " or more" : ""} that wait</li>}
      {run && <Latest run={run} />}
    </ul>
  );
}

function Waiting({ run }: { readonly run: WaitingRun }) {
  const ms = useNow(1000) - Date.parse(run.waiting_since);
  return (
    <li className="lists-run" data-waits={run.waits_for ?? "unknown"}>
      <span className="lists-mark"><Icon name="clock" /></span>
      <bdi>{run.handler ?? "A run"}</bdi>{" "}
      <span><strong>{reason(run)}</strong>{ms > 2000 && <> for <time dateTime={run.waiting_since}>{span(ms)}</time></>}</span>
    </li>
  );
}

function Latest({ run }: { readonly run: Run }) {
  const isOpen = run.ended_at === null;
  const session = useSession();
  useNow(isOpen ? 1000 : 3.6e6);
  // The server's time, which in the history is that of the event.
  const ms = (isOpen ? session.serverNow() : Date.parse(run.ended_at ?? "")) - Date.parse(run.started_at);
  const attempt = run.attempt > 1 ? `attempt ${run.attempt}` : "";
  return (
    <li className="lists-run" data-status={run.status}>
      <span className="lists-mark"><Icon name={iconOf(run.status)} turning={run.status === "running"} /></span>
      <bdi>{run.handler}</bdi>{" "}
      <span>{[run.will_retry ? `${run.status}, to be tried again` : run.status, ms >= 1000 || isOpen ? span(ms) : `${Math.max(0, ms)} ms`, attempt, usageWords(run.usage)].filter(Boolean).join(" · ")}</span>
    </li>
  );
}

/** Why a run has not begun, for the person who waits for it. */
export function reason({ waits_for, ahead, due_at }: WaitingRun): string {
  switch (waits_for) {
    case "worker": return "no worker is there";
    case "turn": return ahead && ahead > 1 ? `waits for ${ahead} runs before it` : "waits for the run before it";
    case "limit": return "waits for a free place: its handler or subject has as many runs as it may";
    case "time": return due_at ? `waits until ${local(due_at)}` : "waits for its time";
    case "slot": return ahead ? `queued, ${ahead} before it` : "queued, the next to begin";
    case "start": return "about to begin";
    case null: case undefined: return "queued";
    default: return waits_for;
  }
}

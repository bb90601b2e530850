import type { Run } from "stepwire";
import { useRun } from "stepwire/react";
import { may, useSession, useWritable } from "../app/session";
import { Icon } from "../design/Icon";
import { useAgain } from "./draft";
import { findBox, useFocusAfter } from "./focus";
import { useTaskDraft, useTaskFormOpen } from "./form/TaskForm";
import { useSending } from "./kept";
import { Problem } from "./Question";
import { nameOfHandler } from "./words";
import "./talk.css";

/** Handlers whose work is what an event of the session says, so it cannot be another. */
const isTask = (handler: string) => !/^(on_|action:)/.test(handler);

/** What can be done with a run: stop it, try it again, replay it with other input. */
export function RunActions({ runId }: { readonly runId: string }) {
  const run = useRun(runId);
  const isWritable = useWritable();
  if (!run) return null;
  const isOver = run.status !== "running" && !run.will_retry;
  return (
    <div className="talk-run" role="group" aria-label={`Run of ${run.handler}`} data-of-run={runId}>
      {!isOver && may("cancel") && <Stop run={run} />}
      {isOver && isWritable && <Again run={run} />}
    </div>
  );
}

function Stop({ run }: { readonly run: Run }) {
  const session = useSession();
  const sending = useSending(`stop ${run.run_id}`);
  const ref = useFocusAfter<HTMLButtonElement>(() => document.querySelector<HTMLElement>(`[data-of-run="${CSS.escape(run.run_id)}"] button`) ?? findBox());
  return (
    <>
      <button ref={ref} type="button" className="button quiet" aria-disabled={sending.busy || undefined} onClick={() => void sending.send("stop", () => session.cancel(run.run_id))}>
        <Icon name="stop" />Stop<span className="visually-hidden"> {nameOfHandler(run.handler)}</span>
      </button>
      <Problem>{sending.problem && `Not stopped. ${sending.problem}`}</Problem>
    </>
  );
}

function Again({ run }: { readonly run: Run }) {
  const session = useSession();
  const sending = useSending(`again ${run.run_id}`);
  const [, setTask] = useTaskDraft();
  const [, openForm] = useTaskFormOpen();
  const [, sayAgain] = useAgain();
  const { run_id, handler, message_id } = run;
  const isEditable = isTask(handler) || message_id !== null;
  const edit = async () => {
    if (message_id !== null) {
      const message = session.store.step(message_id);
      sayAgain({ retryOf: run_id, text: message?.output ?? "", files: message?.elements.length ?? 0 });
      findBox()?.focus();
      return;
    }
    const taken = await sending.send("request", async () => {
      const { args, hidden } = await session.request(run_id).catch((error) => {
        if (error.code === "request_not_kept") return { args: null, hidden: false };
        throw error;
      });
      // Where they are not known, the form is empty: other arguments can be given.
      setTask({ task: handler, values: args ?? {}, json: null, retryOf: run_id });
      if (hidden) sending.complain("The arguments of this run are another sender's: the form is empty.");
    });
    if (taken) openForm(true);
  };
  return (
    <>
      <button type="button" className="button quiet" data-action="again" aria-disabled={sending.busy || undefined} onClick={() => void sending.send("again", (id) => session.retry(run_id, id))}>
        <Icon name="again" />Run again<span className="visually-hidden">: {nameOfHandler(handler)}</span>
      </button>
      {isEditable && <button type="button" className="button quiet" data-action="edit" aria-disabled={sending.busy || undefined} onClick={() => void edit()}>Edit and run again…</button>}
      <Problem>{sending.problem && (sending.code === null ? sending.problem : `Not repeated. ${sending.problem}`)}</Problem>
    </>
  );
}

// A session of the store as the messages of a thread: each message of a person, and each run that answers one.

/** What `useStore("any", …)` takes: in the order of the tree, all of it open. */
export function messagesOf(store) {
  const messages = [], answers = new Map();
  const runs = new Map(store.runs().map((run) => [run.run_id, run]));
  const redone = new Set(store.runs().map(({ retry_of }) => retry_of));
  for (const { kind, id } of store.rows(ALL)) {
    const step = kind === "step" && store.step(id);
    if (!step) continue;
    if (step.type === "user_message" && step.attempt === 0) {
      messages.push({ id, role: "user", content: [{ type: "text", text: step.output }], createdAt: new Date(step.started_at) });
      continue;
    }
    let run = runs.get(step.run_id);
    // The steps of a sub-task stand with the run that has started it.
    while (run?.parent_run_id) run = runs.get(run.parent_run_id);
    if (!run || redone.has(run.run_id)) continue;
    if (!answers.has(run.run_id)) {
      answers.set(run.run_id, { id: run.run_id, role: "assistant", content: [], status: statusOf(run), createdAt: new Date(run.started_at) });
      messages.push(answers.get(run.run_id));
    }
    const asks = store.asks(id).map((ask) => ({ type: "data-ask", data: ask }));
    answers.get(run.run_id).content.push(partOf(step), ...asks);
  }
  return messages;
}

export const isRunning = (store) => store.runs().some(({ ended_at }) => ended_at === null);

const ALL = { isOpen: () => true };

function partOf(step) {
  if (step.type === "assistant_message" || step.type === "user_message") return { type: "text", text: step.output };
  if (step.type !== "tool") return { type: "data-step", data: step };
  const ended = step.ended_at !== null && { result: step.error?.message ?? valueOf(step.output), isError: step.status !== "ok" };
  return { type: "tool-call", toolCallId: step.id, toolName: step.name, args: objectOf(valueOf(step.input)), argsText: step.input, ...ended };
}

function statusOf({ status, error }) {
  if (status === "running") return { type: "running" };
  if (status === "ok") return { type: "complete", reason: "stop" };
  return { type: "incomplete", reason: status === "cancelled" ? "cancelled" : "error", error: error?.message };
}

function valueOf(text) {
  try { return JSON.parse(text); } catch { return text; }
}

const objectOf = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : { input: value });

// Events and documents for tests, as a gateway sends them.
const TS = "2026-11-22T19:00:00.000Z";

export const stepOf = (id, fields = {}) => ({
  id, session_id: "demo", run_id: "r1", attempt: 1, parent_id: null, name: id, type: "tool", status: "running", input: "",
  output: "", language: null, show_input: false, disable_feedback: true, default_open: false, auto_collapse: false, icon: null,
  tags: [], metadata: {}, elements: [], started_at: TS, ended_at: null, error: null, ts: TS, ...fields,
});

export const runOf = (run_id, fields = {}) => ({
  run_id, handler: "on_message", attempt: 1, message_id: null, status: "running", started_at: TS, ended_at: null, error: null,
  will_retry: false, parent_run_id: null, ts: TS, v: 1, ...fields,
});

export const askOf = (id, step_id, fields = {}) => ({
  id, session_id: "demo", run_id: "r1", attempt: 1, step_id, kind: "text", actions: [], accept: [], max_files: null,
  max_bytes: null, status: "open", answer: null, expires_at: TS, started_at: TS, ended_at: null, ts: TS, ...fields,
});

export const actionOf = (id, step_id, fields = {}) => ({
  id, name: id, label: id, tooltip: "", icon: null, payload: {}, session_id: "demo", run_id: "r1", step_id, ts: TS, ...fields,
});

export const elementOf = (id, step_id, fields = {}) => ({
  id, session_id: "demo", run_id: "r1", step_id, type: "file", name: id, mime: "text/plain", display: "inline", size: 1,
  sha256: "0", url: `/v1/sessions/demo/elements/${id}`, props: {}, ts: TS, ...fields,
});

export const snapshotOf = (lists = {}, cursor = "1-0") => ({
  session_id: "demo", cursor, runs: [], steps: [], elements: [], asks: [], feedback: [], v: 1, ...lists,
});

/** Numbers events as a stream does. */
export function stream(epoch = 1, seq = 0) {
  return (type, data) => ({ id: `${epoch}-${(seq += 1)}`, type, data });
}

/** A schedule that tells listeners when the test says so. */
export function manual() {
  let waiting = null;
  return {
    schedule: (flush) => (waiting = flush),
    get isWaiting() {
      return waiting !== null;
    },
    flush() {
      const now = waiting;
      waiting = null;
      now?.();
    },
  };
}

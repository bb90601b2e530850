// The inspector's fold, cursor check and clock. Run: node --test tests/inspector/*.mjs
import assert from "node:assert/strict";
import { test } from "node:test";

const inspector = "../../gateway/stepwire_gateway/inspector";
const { Session } = await import(`${inspector}/session.js`);
const { CursorCheck } = await import(`${inspector}/cursor.js`);
const { misfit, outcome, timeLeft, tooLate, wanted } = await import(`${inspector}/question.js`);
const { ServerClock, duration, gist } = await import(`${inspector}/format.js`);

const step = (id, more = {}) => ({
  id, run_id: "r1", attempt: 1, parent_id: null, name: id, type: "tool", status: "running",
  input: "", output: "", tags: [], metadata: {}, error: null,
  started_at: "2026-11-22T19:00:01.000Z", ended_at: null, ts: "2026-11-22T19:00:01.000Z", ...more,
});
const run = (id, more = {}) => ({
  run_id: id, handler: "on_message", attempt: 1, message_id: null, status: "running", error: null,
  will_retry: false, started_at: "2026-11-22T19:00:00.000Z", ended_at: null, ...more,
});

/** The displayed tree as nested arrays of ids. */
const shape = (nodes) =>
  nodes.map(({ id, children }) => (children.length ? [id, shape(children)] : id));

function sessionOf(...events) {
  const session = new Session();
  for (const [type, data] of events) session.apply(type, data);
  return session;
}

const start = (id, parent_id = null, more = {}) => ["step.start", step(id, { parent_id, ...more })];
const output = (session, id) => session.steps.get(id).doc.output;

test("steps nest below their parents and siblings keep the order of their start", () => {
  const session = sessionOf(start("a"), start("b", "a"), start("c", "b"), start("d", "a"), start("e"));
  assert.deepEqual(shape(session.roots), [["a", [["b", ["c"]], "d"]], "e"]);
});

test("a step whose parent is unknown stands at the top until the parent comes", () => {
  const session = sessionOf(start("late-child", "p"), start("other"));
  assert.deepEqual(shape(session.roots), ["late-child", "other"]);

  const changes = session.apply(...start("p"));

  assert.deepEqual(shape(session.roots), ["other", ["p", ["late-child"]]]);
  assert.deepEqual(changes.filter((c) => c.kind === "place").map((c) => c.node.id), ["p", "late-child"]);
});

test("a child that came before its parent keeps its place among its siblings", () => {
  const session = sessionOf(start("first", "p"), start("p"), start("second", "p"));
  assert.deepEqual(shape(session.roots), [["p", ["first", "second"]]]);
});

test("a document that is none costs itself alone", () => {
  const session = sessionOf(
    ["snapshot", {
      session_id: "s", cursor: "1-1", v: 2, moods: [{}],
      runs: [null, run("r1", { status: "paused" })],
      steps: [5, {}, step("a", { status: "paused", tags: null, metadata: [], error: "x" }), "b"],
      elements: "none", asks: [{ id: "q", step_id: "a", kind: "signature", status: "asked" }],
      feedback: [[]],
    }],
    ["step.start", null], ["ask", []], ["run.end", { run_id: 5 }], ["step.remove", 7],
    ["step.applause", null], start("c", "a"),
  );
  assert.deepEqual(shape(session.roots), ["r1", ["a", ["c"]]]);
  assert.equal(session.unread, 9);
  const { doc, attached: { ask: asks } } = session.steps.get("a");
  assert.deepEqual([doc.tags, doc.metadata, doc.error], [[], {}, null]);
  assert.deepEqual([asks.get("q").actions, asks.get("q").accept], [[], []]);
});

test("removing a step removes its subtree", () => {
  const session = sessionOf(start("a"), start("b", "a"), start("c", "b"), start("d"));
  const removed = session.apply("step.remove", { id: "a" }).map((c) => c.node.id);
  assert.deepEqual(removed, ["a", "b", "c"]);
  assert.deepEqual([...session.steps.keys()], ["d"]);
  assert.deepEqual(shape(session.roots), ["d"]);
});

test("a delta of a step that was removed changes nothing", () => {
  const session = sessionOf(start("a"), ["step.remove", { id: "a" }]);
  assert.deepEqual(session.apply("step.delta", { id: "a", field: "output", text: "x" }), []);
  assert.deepEqual(session.apply("step.remove", { id: "a" }), []);
});

test("a step that was removed while it waited for its parent does not come back with it", () => {
  const session = sessionOf(start("a", "p"), ["step.remove", { id: "a" }], start("p"));
  assert.deepEqual(shape(session.roots), ["p"]);
});

test("a step that starts below a removed one is shown at the top", () => {
  const session = sessionOf(start("a"), ["step.remove", { id: "a" }], start("b", "a"));
  assert.deepEqual(shape(session.roots), ["b"]);
});

test("deltas append to the field they name, or replace it", () => {
  const session = sessionOf(start("a"));
  const delta = (more) => session.apply("step.delta", { id: "a", field: "output", ...more });
  delta({ text: "Hel" });
  delta({ text: "lo" });
  delta({ field: "input", text: "in" });
  assert.equal(output(session, "a"), "Hello");
  assert.equal(session.steps.get("a").doc.input, "in");
  delta({ text: "new", replace: true });
  assert.equal(output(session, "a"), "new");
});

test("a delta of a field that has no text is ignored", () => {
  const session = sessionOf(start("a"));
  assert.deepEqual(session.apply("step.delta", { id: "a", field: "name", text: "x" }), []);
  assert.equal(session.steps.get("a").doc.name, "a");
});

test("an end that repeats the streamed text rewrites nothing", () => {
  const session = sessionOf(start("a"), ["step.delta", { id: "a", field: "output", text: "Hello" }]);
  const kinds = session
    .apply("step.end", step("a", { status: "ok", output: "Hello" }))
    .map((change) => change.kind);
  assert.deepEqual(kinds, ["doc"]);
});

test("an end with more text appends the rest, with another text replaces it", () => {
  const session = sessionOf(start("a"), ["step.delta", { id: "a", field: "output", text: "Hel" }]);
  const update = (text) => {
    const change = session
      .apply("step.update", step("a", { output: text }))
      .find(({ kind }) => kind === "text");
    return [change.text, change.replace];
  };
  assert.deepEqual(update("Hello"), ["lo", false]);
  assert.deepEqual(update("Bye"), ["Bye", true]);
  assert.equal(output(session, "a"), "Bye");
});

test("an update that changes the parent moves the step with all below it", () => {
  const session = sessionOf(start("a"), start("b"), start("c", "a"), start("d", "c"), start("e"));
  session.apply("step.update", step("c", { parent_id: "b" }));
  assert.deepEqual(shape(session.roots), ["a", ["b", [["c", ["d"]]]], "e"]);
  session.apply("step.update", step("c", { parent_id: "gone" }));
  assert.deepEqual(shape(session.roots), ["a", "b", ["c", ["d"]], "e"]);
});

test("parents that form a circle are still shown, and removed, once", () => {
  const session = sessionOf(start("a", "b"), start("b", "a"));
  assert.deepEqual(shape(session.roots), [["a", ["b"]]]);
  session.apply("step.remove", { id: "a" });
  assert.deepEqual(shape(session.roots), []);
  session.apply(...start("self", "self"));
  assert.deepEqual(shape(session.roots), ["self"]);
});

test("a run stands below the message that started it, before that message's steps", () => {
  const session = sessionOf(
    start("m", null, { type: "user_message" }),
    ["run.start", run("r1", { message_id: "m" })],
    start("s", "m"),
  );
  assert.deepEqual(shape(session.roots), [["m", ["r1", "s"]]]);
  session.apply("run.end", run("r1", { message_id: "m", status: "error", will_retry: true }));
  session.apply("run.start", run("r1", { message_id: "m", attempt: 2 }));
  assert.equal(session.runs.get("r1").doc.attempt, 2);
  assert.deepEqual(shape(session.roots), [["m", ["r1", "s"]]]);
});

test("a run outlives the message that started it", () => {
  const session = sessionOf(start("m"), ["run.start", run("r1", { message_id: "m" })]);
  session.apply("step.remove", { id: "m" });
  assert.deepEqual(shape(session.roots), ["r1"]);
});

test("a snapshot replaces everything and says how runs and steps interleave", () => {
  const session = sessionOf(start("old"), start("waiting", "nowhere"));
  const changes = session.apply("snapshot", {
    runs: [
      run("chat", { handler: "on_chat_start", started_at: "2026-11-22T19:00:00.500Z" }),
      run("r1", { message_id: "m", started_at: "2026-11-22T19:00:02.000Z" }),
      run("no-steps", { message_id: null, started_at: "2026-11-22T19:00:00.800Z" }),
      run("later", { started_at: "2026-11-22T19:00:09.000Z" }),
    ],
    steps: [
      step("hello", { run_id: "chat" }),
      step("m", { type: "user_message" }),
      step("s", { parent_id: "m", output: "so far" }),
    ],
    steps_before_runs: [0, 2, 2, 3],
  });
  assert.deepEqual(changes, [{ kind: "reset" }]);
  assert.deepEqual(shape(session.roots), ["chat", "hello", ["m", ["r1", "s"]], "no-steps", "later"]);
  session.apply("step.delta", { id: "s", field: "output", text: " good" });
  assert.equal(output(session, "s"), "so far good");
  session.apply(...start("nowhere"));
  assert.deepEqual(shape(session.roots).at(-1), "nowhere", "what waited before the snapshot is gone");
});

test("a snapshot that does not tell the order, or tells it wrongly, has all of its documents", () => {
  const lists = { runs: [run("r1"), run("r2")], steps: [step("a"), null, step("b")] };
  for (const [told, expected] of [
    [undefined, ["r1", "r2", "a", "b"]],
    [{}, ["r1", "r2", "a", "b"]],
    [[9, 1], ["a", "b", "r1", "r2"]],
    [[-1, 2, 7], ["r1", "a", "r2", "b"]],
    [["x", {}], ["r1", "r2", "a", "b"]],
  ]) {
    const session = sessionOf(["snapshot", structuredClone({ ...lists, steps_before_runs: told })]);
    assert.deepEqual(shape(session.roots), expected, JSON.stringify(told));
  }
});

test("live events and the snapshot of the same session give the same tree", () => {
  const events = [
    start("orphan", "p"), start("a"), start("b", "a"), start("p", "b"), start("c", "a"),
    ["step.delta", { id: "c", field: "output", text: "x" }], ["step.remove", { id: "orphan" }],
  ];
  const live = sessionOf(...events);
  const steps = ["a", "b", "p", "c"].map((id) => live.steps.get(id).doc);
  const reloaded = sessionOf(["snapshot", { runs: [], steps: structuredClone(steps) }]);
  assert.deepEqual(shape(reloaded.roots), shape(live.roots));
});

test("events that are not known change nothing", () => {
  const session = sessionOf(start("a"));
  assert.deepEqual(session.apply("element.unheard-of", { id: "e", step_id: "a" }), []);
  assert.deepEqual(shape(session.roots), ["a"]);
});

test("a hundred thousand deltas fold in well under a second", () => {
  const session = sessionOf(start("a"));
  const begin = performance.now();
  for (let i = 0; i < 100_000; i += 1) {
    session.apply("step.delta", { id: "a", field: "output", text: "tok " });
  }
  assert.equal(output(session, "a").length, 400_000);
  assert.ok(performance.now() - begin < 1000);
});

test("dense ids pass the cursor check", () => {
  const check = new CursorCheck();
  assert.ok(check.take("7-10", true));
  assert.ok(check.take("7-11", false));
  assert.ok(check.take("7-12", false));
  assert.deepEqual([check.cursor, check.gaps], ["7-12", 0]);
});

test("a missing id is counted and named", () => {
  const check = new CursorCheck();
  check.take("7-1", true);
  assert.ok(check.take("7-4", false));
  assert.deepEqual([check.gaps, check.breach], [1, "2 missing between 7-1 and 7-4"]);
});

test("an event that comes again is counted and not applied", () => {
  const check = new CursorCheck();
  check.take("7-1", true);
  check.take("7-2", false);
  assert.equal(check.take("7-2", false), false);
  assert.deepEqual([check.gaps, check.cursor], [1, "7-2"]);
});

test("a snapshot may jump, also to another epoch; another epoch without one is a gap", () => {
  const check = new CursorCheck();
  check.take("7-100", true);
  check.take("8-3", true);
  assert.equal(check.gaps, 0);
  check.take("9-4", false);
  assert.equal(check.gaps, 1);
});

test("the server's clock is followed when this one is behind, and ahead once an event is live", () => {
  let now = 100_000;
  const at = (ms) => new Date(ms).toISOString();
  const behind = new ServerClock(() => now);
  behind.opened();
  behind.observe(at(160_000));
  assert.equal(behind.now(), 160_000);

  const ahead = new ServerClock(() => now);
  ahead.opened();
  ahead.observe(at(40_000));
  assert.equal(ahead.now(), 100_000, "a replayed event is old, which proves nothing");
  now += 5000;
  ahead.observe(at(45_000));
  assert.equal(ahead.now(), 45_000);

  const snapshotted = new ServerClock(() => now);
  snapshotted.opened();
  snapshotted.caughtUp();
  snapshotted.observe(at(50_000));
  assert.equal(snapshotted.now(), 50_000, "what follows a snapshot is live");
});

test("durations are short, steady while they run, and never negative", () => {
  const start = "2026-11-22T19:00:00.000Z";
  const t0 = Date.parse(start);
  assert.equal(duration(start, "2026-11-22T19:00:00.340Z", 0), "340 ms");
  assert.equal(duration(start, null, t0 + 1249), "1.24 s");
  assert.equal(duration(start, null, t0 - 5000), "0.00 s");
  assert.equal(duration(start, null, t0 + 125_000), "2 m 05 s");
  assert.equal(duration(start, null, t0 + 3_720_000), "1 h 02 m");
  assert.equal(duration(null, null, t0), "");
});

test("a gist is the start of a text on one line, and of JSON the words without the marks", () => {
  assert.equal(gist("  Two\n\nlines, {not} JSON "), "Two lines, {not} JSON");
  assert.equal(gist('[\n  {"name": "a", "hits": 2},\n  {"name": "b"}\n]'), "name: a, hits: 2, name: b");
  assert.equal(gist("{}"), "");
  assert.equal(gist("x".repeat(5000)).length, 160);
});

test("an element hangs on its step, also in a snapshot, and goes when it is removed", () => {
  const element = (id, step_id) => ({ id, step_id, type: "image", name: id, url: `/v1/${id}` });
  const session = sessionOf(start("a"), ["element.add", element("e1", "a")]);
  const changes = session.apply("element.add", element("e2", "a"));
  assert.deepEqual(changes.map(({ kind, node }) => [kind, node.id]), [["doc", "a"]]);
  assert.deepEqual([...session.steps.get("a").attached.element.keys()], ["e1", "e2"]);
  session.apply("element.remove", { id: "e1" });
  assert.deepEqual([...session.steps.get("a").attached.element.keys()], ["e2"]);

  session.apply("snapshot", { runs: [], steps: [step("b")], elements: [element("e4", "b")] });
  assert.deepEqual([...session.steps.get("b").attached.element.keys()], ["e4"]);
});

const element = (id, step_id) => ({ id, step_id, type: "file", name: id, url: `/v1/${id}` });
const elementsOf = (session, id) => [...session.steps.get(id).attached.element.keys()];

test("an uploaded file moves to the step that it is sent with, and comes once", () => {
  const session = sessionOf(start("m"), start("n"));
  assert.deepEqual(session.apply("element.add", element("e", null)), [{ kind: "uploads" }]);
  assert.deepEqual([...session.uploads.keys()], ["e"]);

  const kinds = session.apply("element.add", element("e", "m")).map(({ kind }) => kind);

  assert.deepEqual(kinds, ["uploads", "doc"]);
  assert.deepEqual([session.uploads.size, elementsOf(session, "m")], [0, ["e"]]);
  const moved = session.apply("element.add", element("e", "n")).map(({ node }) => node.id);
  assert.deepEqual(moved, ["m", "n"]);
  assert.deepEqual([elementsOf(session, "m"), elementsOf(session, "n")], [[], ["e"]]);
  session.apply("element.add", element("e", "n"));
  assert.deepEqual(elementsOf(session, "n"), ["e"]);
  session.apply("step.remove", { id: "n" });
  assert.deepEqual(session.apply("element.remove", { id: "e" }), [], "it went with its step");

  session.apply("snapshot", { runs: [], steps: [step("m")], elements: [element("u", null), element("e", "m")] });
  assert.deepEqual([[...session.uploads.keys()], elementsOf(session, "m")], [["u"], ["e"]]);
});

const ask = (id, step_id, more = {}) => ({
  id, step_id, kind: "text", actions: [], accept: [], max_files: null, max_bytes: null,
  status: "open", answer: null, expires_at: "2026-11-22T19:01:30.000Z", ...more,
});
const statuses = (session) => [...session.asks.values()].map(({ id, status }) => [id, status]);

test("an ask stands with its step, is replaced by its end, and goes with its step", () => {
  const session = sessionOf(start("a"), start("b", "a"));
  const changes = session.apply("ask", ask("q", "b"));
  assert.deepEqual(changes.map(({ kind, node }) => [kind, node.id]), [["doc", "b"]]);
  session.apply("ask", ask("r", "a"));
  session.apply("ask.end", ask("q", "b", { status: "timeout" }));
  assert.deepEqual(statuses(session), [["q", "timeout"], ["r", "open"]]);
  assert.equal(session.steps.get("b").attached.ask.get("q").status, "timeout");
  assert.deepEqual(session.apply("ask", ask("lost", "nowhere")), [], "its step may come");
  session.apply("step.remove", { id: "nowhere" });
  session.apply("step.remove", { id: "a" });
  assert.deepEqual(statuses(session), []);

  session.apply("snapshot", { runs: [], steps: [step("c")], asks: [ask("s", "c", { status: "cancelled" })] });
  assert.deepEqual(statuses(session), [["s", "cancelled"]]);
  assert.equal(session.steps.get("c").attached.ask.size, 1);
});

test("feedback replaces what was said of a step, and null takes it back", () => {
  const session = sessionOf(start("a"));
  const rate = (value) => session.apply("feedback", { step_id: "a", value, comment: null });
  const value = () => session.steps.get("a").attached.feedback.get("a")?.value;
  rate(1);
  assert.equal(value(), 1);
  session.apply("step.update", step("a", { name: "renamed" }));
  assert.equal(value(), 1, "the step says nothing of it");
  rate(0);
  assert.equal(value(), 0);
  rate(null);
  assert.equal(value(), undefined);
  session.apply("snapshot", { runs: [], steps: [step("a")], feedback: [{ step_id: "a", value: 0 }] });
  assert.equal(value(), 0);
  assert.deepEqual(session.apply("feedback", { step_id: "gone", value: 1 }), []);
});

test("what does not fit a question for files is said before it is sent", () => {
  const limits = { accept: ["image/*", ".CSV", "text/plain"], max_files: 2, max_bytes: 1000 };
  const file = (name, type, size = 1) => ({ name, type, size });
  assert.equal(misfit(limits, [file("a", "image/png"), file("b.csv", "application/x")]), "");
  assert.equal(misfit(limits, [file("a.txt", "text/plain; charset=utf-8")]), "");
  assert.equal(misfit(limits, [file("what", "")]), "", "the gateway goes by the name");
  assert.match(misfit(limits, [file("a.py", "text/x-python")]), /a\.py does not have a type that is asked for/);
  assert.match(misfit(limits, [file("a.txt", "text/plain", 1001)]), /a\.txt has 1\.0 kB: at most 1\.0 kB/);
  assert.match(misfit(limits, Array(3).fill(file("a", "image/gif"))), /3 files: at most 2/);
  assert.equal(misfit({ accept: [], max_files: null, max_bytes: null }, [file("a", "x/y", 1e12)]), "");
  assert.equal(wanted({ ...limits, accept: [".csv"] }), "Up to 2 files of at most 1.0 kB: .csv");
  assert.equal(wanted({ accept: [], max_files: 1, max_bytes: null }), "1 file");
});

test("how an ask ended, and why an answer came too late, is said in words", () => {
  const words = ["timeout", "cancelled", "interrupted"].map((status) => outcome(ask("q", "a", { status })));
  assert.equal(new Set(words).size, 3);
  const answered = (kind, elements = []) => outcome(ask("q", "a", { kind, status: "answered", answer: { elements } }));
  assert.equal(answered("text"), "Answered");
  assert.equal(answered("file", ["e"]), "Answered with 1 file");
  assert.match(tooLate("answered"), /another person was quicker/);
  assert.match(tooLate("open"), /this question has ended/);
});

test("the time that is left is coarse while there is plenty", () => {
  const at = Date.parse("2026-11-22T19:00:00.000Z");
  const left = (seconds) => timeLeft(new Date(at + 1000 * seconds).toISOString(), at);
  assert.deepEqual([90, 0.2, 0, -5].map(left), ["90 s left", "1 s left", "time is up", "time is up"]);
  assert.deepEqual([91, 300, 7200, 7 * 3600].map(left), ["2 min left", "5 min left", "2 h left", "7 h left"]);
  assert.equal(timeLeft("whenever", at), "");
});

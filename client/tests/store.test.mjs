import assert from "node:assert/strict";
import { test } from "node:test";
import { attemptsOf, EMPTY, fold, replay, Store, usageOf } from "../dist/index.js";
import { askOf, elementOf, manual, runOf, snapshotOf, stepOf, stream } from "./documents.mjs";

/** A store of a message that has started a run, a tree of three steps, and one more at the top. */
function filled(schedule = (flush) => flush()) {
  const store = new Store(EMPTY, schedule);
  const event = stream();
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
  store.take(event("step.start", stepOf("message", { type: "user_message", attempt: 0 })));
  store.take(event("run.start", runOf("r1", { message_id: "message" })));
  store.take(event("step.start", stepOf("a", { parent_id: "message" })));
  store.take(event("step.start", stepOf("b", { parent_id: "a" })));
  store.take(event("step.start", stepOf("c", { parent_id: "b" })));
  store.take(event("step.start", stepOf("last")));
  return { store, event };
}

const idsOf = (rows) => rows.map(({ id }) => id);
const linesOf = (rows) => rows.map(({ id, depth }) => "  ".repeat(depth) + id);

test("a token gives one step a new identity and nothing else", () => {
  const { store, event } = filled();
  const rows = store.rows();
  const before = Object.fromEntries(["message", "a", "b", "c", "last"].map((id) => [id, [store.step(id), store.children(id)]]));
  const view = store.snapshot();

  store.take(event("step.delta", { id: "b", field: "output", text: "Hello" }));

  assert.equal(store.step("b").output, "Hello");
  for (const id of ["message", "a", "c", "last"]) assert.equal(store.step(id), before[id][0], id);
  for (const id of Object.keys(before)) assert.equal(store.children(id), before[id][1], id);
  assert.notEqual(store.step("b"), before.b[0]);
  assert.equal(store.rows(), rows);
  const after = store.snapshot();
  assert.equal(after.runs, view.runs);
  assert.deepEqual(after.steps.map((step, at) => step === view.steps[at]), [true, true, false, true, true]);
});

test("among 10,000 steps a token gives one a new identity, tells its listener alone, and leaves the rows", () => {
  const frame = manual();
  const store = new Store(EMPTY, frame.schedule);
  const event = stream();
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
  const ids = Array.from({ length: 10_000 }, (_, n) => `s${n}`);
  ids.forEach((id, n) => store.take(event("step.start", stepOf(id, { parent_id: n % 10 ? ids[n - 1] : null }))));
  frame.flush();
  const [rows, view, heard] = [store.rows(), store.snapshot(), []];
  assert.deepEqual(idsOf(rows), ids);
  for (const id of ids) store.subscribe(`step:${id}`, () => heard.push(id));
  for (let n = 0; n < 100; n += 1) store.take(event("step.delta", { id: "s5000", field: "output", text: "x" }));
  frame.flush();
  assert.deepEqual(heard, ["s5000"]);
  assert.equal(store.rows(), rows);
  const after = store.snapshot().steps;
  assert.deepEqual(ids.filter((_, n) => after[n] !== view.steps[n]), ["s5000"]);
  assert.equal(after[5000].output, "x".repeat(100));
});

test("the pure fold shares what an event does not change", () => {
  const { store, event } = filled();
  const state = store.snapshot();
  const next = fold(state, event("step.delta", { id: "b", field: "output", text: "x" }));
  assert.equal(next.runs, state.runs);
  assert.equal(next.steps[0], state.steps[0]);
  assert.notEqual(next.steps[2], state.steps[2]);
  assert.equal(state.steps[2].output, "");
  assert.equal(replay(next, []), next);
});

test("a snapshot that does not tell the order, or tells it wrongly, has all of its documents", () => {
  const lists = { runs: [runOf("r1"), runOf("r2")], steps: [stepOf("a"), null, stepOf("b"), "c"] };
  for (const [told, expected] of [
    [undefined, ["r1", "r2", "a", "b"]],
    [{}, ["r1", "r2", "a", "b"]],
    [[9, 1], ["a", "b", "r1", "r2"]],
    [[-1, 2, 7], ["r1", "a", "r2", "b"]],
    [["x", {}], ["r1", "r2", "a", "b"]],
  ]) {
    const store = new Store(snapshotOf({ ...lists, steps_before_runs: told }));
    assert.deepEqual(idsOf(store.rows()), expected, JSON.stringify(told));
    assert.deepEqual(idsOf(new Store(store.snapshot()).rows()), expected);
  }
});

test("a snapshot keeps what is as it was, and what the person has opened", () => {
  const { store } = filled();
  store.setOpen("a", false);
  const view = structuredClone(store.snapshot());
  const [message, run] = [store.step("message"), store.run("r1")];
  const rows = store.rows();
  view.steps[2].output = "grown while we were away";

  store.take({ id: "2-7", type: "snapshot", data: { ...view, cursor: "2-7" } });

  assert.equal(store.step("message"), message);
  assert.equal(store.run("r1"), run);
  assert.equal(store.step("b").output, "grown while we were away");
  assert.equal(store.isOpen("a"), false);
  assert.equal(store.rows(), rows);
  store.setOpen("a", null);
  assert.equal(store.isOpen("a"), true);
});

test("what a snapshot does not have is gone, and its listeners are told", () => {
  const clock = manual();
  const { store } = filled(clock.schedule);
  clock.flush();
  const heard = [];
  store.subscribe("step:c", () => heard.push("c"));
  store.subscribe("step:a", () => heard.push("a"));
  const view = store.snapshot();
  store.take({ id: "2-0", type: "snapshot", data: { ...view, steps: view.steps.filter(({ id }) => id !== "c"), cursor: "2-0" } });
  clock.flush();
  assert.equal(store.step("c"), undefined);
  assert.deepEqual(heard, ["c"]);
});

test("rows are the tree as a flat list, without what is closed", () => {
  const { store } = filled();
  assert.deepEqual(linesOf(store.rows()), ["message", "  r1", "  a", "    b", "      c", "last"]);
  store.setOpen("a", false);
  assert.deepEqual(linesOf(store.rows()), ["message", "  r1", "  a", "last"]);
  assert.equal(store.rows()[2].descendants, 2);
  assert.deepEqual(idsOf(store.rows({ isOpen: () => true })), ["message", "r1", "a", "b", "c", "last"]);
  assert.deepEqual(idsOf(store.rows({ isOpen: () => true, where: ({ name }) => name === "b" })), ["message", "a", "b"]);
});

test("a row stays the same object until something of it changes", () => {
  const { store, event } = filled();
  const before = store.rows();
  store.take(event("step.end", stepOf("c", { parent_id: "b", status: "error", error: { type: "E", message: "m" } })));
  const after = store.rows();
  assert.deepEqual(after.map((row, at) => row === before[at]), [false, true, false, false, true, true]);
  assert.deepEqual(after.map(({ errors }) => errors), [1, 0, 1, 1, 0, 0]);
  assert.equal(store.errors("message"), 1);
});

test("a step whose parent is not there stands at the top, and below it once it comes", () => {
  const { store, event } = filled();
  store.take(event("step.start", stepOf("orphan", { parent_id: "later" })));
  assert.deepEqual(store.children(null).map(({ id }) => id), ["message", "last", "orphan"]);
  store.take(event("step.start", stepOf("later")));
  assert.deepEqual(store.children("later").map(({ id }) => id), ["orphan"]);
});

test("steps that close a circle are shown all the same", () => {
  const { store, event } = filled();
  store.take(event("step.start", stepOf("x", { parent_id: "y" })));
  store.take(event("step.start", stepOf("y", { parent_id: "x" })));
  assert.deepEqual(linesOf(store.rows()).slice(-2), ["x", "  y"]);
  store.take(event("step.remove", { id: "x" }));
  assert.equal(store.step("y"), undefined);
});

test("a removed step takes what is below it and what stands with it; its run stays", () => {
  const { store, event } = filled();
  store.take(event("element.add", elementOf("cat", "c")));
  store.take(event("ask", askOf("why", "b")));
  store.take(event("feedback", { step_id: "c", value: 1, comment: null, ts: "" }));
  store.take(event("step.remove", { id: "message" }));
  assert.deepEqual(linesOf(store.rows()), ["r1", "last"]);
  assert.deepEqual([store.elements("c"), store.asks(), store.feedback("c")], [[], [], null]);
});

test("a file that is sent leaves the uploads, and what it is listed with keeps its order", () => {
  const { store, event } = filled();
  for (const id of ["one", "two"]) store.take(event("element.add", elementOf(id, null)));
  const uploads = store.elements(null);
  assert.deepEqual(uploads.map(({ id }) => id), ["one", "two"]);
  assert.equal(store.elements(null), uploads);
  store.take(event("element.add", elementOf("two", "message")));
  store.take(event("element.add", elementOf("one", "message")));
  assert.deepEqual(store.elements(null), []);
  assert.deepEqual(store.elements("message").map(({ id }) => id), ["one", "two"]);
});

test("paths and attempts are told, and stay the same objects", () => {
  const { store, event } = filled();
  const [path, attempts] = [store.path("c"), attemptsOf(store, "r1")];
  assert.deepEqual(path, ["message", "a", "b", "c"]);
  assert.deepEqual(attempts, [{ attempt: 1, roots: ["a", "last"] }]);
  store.take(event("step.end", stepOf("last", { status: "ok" })));
  assert.equal(store.path("c"), path);
  assert.equal(attemptsOf(store, "r1"), attempts);
  store.take(event("run.start", runOf("r1", { attempt: 2 })));
  store.take(event("step.start", stepOf("again", { attempt: 2, parent_id: "message" })));
  assert.deepEqual(attemptsOf(store, "r1")[1], { attempt: 2, roots: ["again"] });
});

test("usage sums what the steps below a step tell, in the words of any provider", () => {
  const { store, event } = filled();
  const tells = (id, parent_id, metadata) => store.take(event("step.end", stepOf(id, { parent_id, metadata })));
  tells("c", "b", { usage: { input_tokens: 10, output_tokens: 5 }, cost: 0.5 });
  tells("b", "a", { usage: { total_tokens: 15 } });
  tells("last", null, { usage: { prompt_tokens: 1, completion_tokens: 2, cost: 0.25 } });
  assert.deepEqual(usageOf(store, "a"), { tokens: 15, cost: 0.5 });
  assert.deepEqual(usageOf(store), { tokens: 18, cost: 0.75 });
  assert.deepEqual(usageOf(store, "nothing"), { tokens: 0, cost: 0 });
});

test("what a step says of its own usage counts beside what is below it, and a run counts what was removed", () => {
  const { store, event } = filled();
  const says = (id, parent_id, usage, fields) => store.take(event("step.end", stepOf(id, { parent_id, usage, ...fields })));
  says("c", "b", { input_tokens: 10, output_tokens: 5, cost: 0.1, model: "small" });
  says("b", "a", { input_tokens: 1, output_tokens: null, cost: 0.2, model: null });
  assert.deepEqual(usageOf(store, "a"), { tokens: 16, cost: 0.3 });
  store.take(event("run.update", runOf("r1", { usage: { input_tokens: 11, output_tokens: 5, cost: 0.3 } })));
  says("outside", null, { input_tokens: 4, output_tokens: 0, cost: null, model: null }, { run_id: null });
  assert.deepEqual(usageOf(store), { tokens: 20, cost: 0.3 });
  store.take(event("step.remove", { id: "a" }));
  assert.deepEqual(usageOf(store), { tokens: 20, cost: 0.3 });
});

test("listeners hear of their key alone, once for many changes", () => {
  const clock = manual();
  let frames = 0;
  const { store, event } = filled((flush) => ((frames += 1), clock.schedule(flush)));
  clock.flush();
  frames = 0;
  const heard = [];
  for (const key of ["step:a", "step:b", "text:b", "rows", "asks", "any"]) store.subscribe(key, () => heard.push(key));
  for (const text of "many tokens") store.take(event("step.delta", { id: "b", field: "output", text }));
  assert.deepEqual(heard, []);
  clock.flush();
  assert.deepEqual(heard.sort(), ["any", "step:b", "text:b"]);
  assert.equal(frames, 1);
  assert.equal(clock.isWaiting, false);
});

test("a listener that fails does not keep the others from hearing", (t) => {
  const { store, event } = filled();
  const later = t.mock.method(globalThis, "setTimeout", () => 0);
  const heard = [];
  store.subscribe("step:b", () => {
    throw new Error("mine");
  });
  const leave = store.subscribe("step:b", () => heard.push(1));
  store.take(event("step.delta", { id: "b", field: "output", text: "x" }));
  assert.throws(later.mock.calls[0].arguments[0], /mine/);
  leave();
  store.take(event("step.delta", { id: "b", field: "output", text: "x" }));
  assert.deepEqual(heard, [1]);
});

test("an event of a type that is not known is no gap", () => {
  const { store, event } = filled();
  assert.equal(store.take(event("step.sings", { id: "b" })), "next");
  assert.equal(store.take(event("step.delta", { id: "b", field: "output", text: "x" })), "next");
  assert.equal(store.step("b").output, "x");
});

test("an event that comes again changes nothing, and a hole in the ids is told", () => {
  const { store, event } = filled();
  const token = event("step.delta", { id: "b", field: "output", text: "x" });
  assert.deepEqual([store.take(token), store.take(token)], ["next", "again"]);
  assert.equal(store.step("b").output, "x");
  event();
  assert.equal(store.take(event("step.delta", { id: "b", field: "output", text: "y" })), "gap");
});

test("documents that are none cost only themselves", () => {
  const { store, event } = filled();
  const rows = store.rows();
  for (const data of [null, 7, {}, { id: 7 }]) store.take(event("step.update", data));
  store.take(event("step.update", stepOf("b", { parent_id: "a", output: { a: 1 }, tags: "x", metadata: null, error: 1 })));
  const { output, tags, metadata, error } = store.step("b");
  assert.deepEqual({ output, tags, metadata, error }, { output: '{\n  "a": 1\n}', tags: [], metadata: {}, error: null });
  assert.equal(store.rows(), rows);
});

test("the tree that follows each event is the one that a store of the same snapshot makes", () => {
  const event = stream();
  const store = new Store(EMPTY, () => {});
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
  // Drawn by a generator of its own, so that a failure is the same one each time.
  let drawn = 7;
  const draw = (below) => (drawn = (drawn * 16807) % 2147483647) % below;
  // One of the lists is closed in places, where steps that end close themselves; one has the lines of attempts.
  const shape = ({ id, kind, depth, open, descendants, errors, message, attempt }) => [id, kind, depth, open, descendants, errors, message, attempt];
  const open = { isOpen: () => true };
  const closed = new Store(EMPTY, () => {});
  closed.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
  const some = { isOpen: ({ id, status }) => status === "running" || !id.endsWith("3"), attempts: true };
  let patched = 0;
  for (let n = 0; n < 800; n += 1) {
    const number = draw(60);
    const id = `s${number}`;
    // Often one that is not there (yet), and never one that closes a circle.
    const parent_id = draw(5) === 0 || number === 0 ? null : `s${draw(number)}`;
    const status = ["running", "ok", "error"][draw(3)];
    const before = store.step(id);
    const fields = { run_id: `r${draw(3)}`, attempt: draw(3), type: draw(5) ? "tool" : "user_message", metadata: draw(3) ? {} : { usage: { total_tokens: draw(9) }, cost: 0.1 * draw(9) } };
    const usage = draw(3) ? null : { input_tokens: draw(9), output_tokens: 1, cost: 0.1 * draw(9), model: null };
    const taken = draw(14) === 0 ? event("step.remove", { id })
      : draw(8) === 0 ? event("run.start", runOf(`r${number % 4}`, { attempt: 1 + draw(2), message_id: store.run(`r${number % 4}`)?.message_id ?? parent_id, status }))
      : event("step.update", stepOf(id, { ...(before ?? fields), parent_id: before && draw(8) ? before.parent_id : parent_id, status, usage }));
    for (const one of [store, closed]) one.take(taken);
    const again = new Store(store.snapshot(), () => {});
    assert.deepEqual(store.rows(open).map(shape), again.rows(open).map(shape), `after ${n} events`);
    // Some events at a time.
    if (draw(3)) continue;
    const rows = closed.rows(some);
    assert.deepEqual(rows.map(shape), again.rows(some).map(shape), `after ${n} events`);
    assert.deepEqual(idsOf(closed.rows(some)), idsOf(rows));
    for (const { id: shown, kind } of rows.filter(({ kind: one }) => one !== "attempt")) {
      const siblings = closed.children(kind === "run" ? closed.run(shown).message_id : (closed.step(closed.step(shown).parent_id)?.id ?? null));
      const at = siblings.findIndex((one) => one.id === shown && one.kind === kind);
      if (at >= 0) assert.deepEqual(closed.position(shown, kind), { at, of: siblings.length });
      if (kind === "step") assert.deepEqual(usageOf(closed, shown), usageOf(again, shown), `${shown} after ${n} events`);
    }
    assert.deepEqual(usageOf(closed), usageOf(again));
    assert.equal(closed.size, closed.steps().length);
    patched += 1;
  }
  assert.ok(patched > 50);
});

test("a step that begins among 20,000 is put beside its sibling: the others are not looked at", () => {
  const store = new Store(EMPTY, () => {});
  const event = stream();
  const number = 20_000;
  const steps = Array.from({ length: number }, (_, n) => stepOf(`s${n}`, { parent_id: n % 10 ? `s${n - 1}` : null }));
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf({ steps }) });
  let looks = 0;
  const options = { attempts: true, isOpen: () => (looks += 1) > 0 };
  const before = store.rows(options);
  assert.equal(looks, number);
  store.take(event("step.start", stepOf("last")));
  store.take(event("step.start", stepOf("between", { parent_id: "s5001" })));
  store.take(event("step.end", stepOf("s5005", { parent_id: "s5004", status: "error" })));
  const after = store.rows(options);
  assert.ok(looks < number + 50, `${looks - number} steps were looked at`);
  assert.deepEqual(idsOf(after).slice(5000, 5012), [5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007, 5008, 5009].map((n) => `s${n}`).concat("between", "s5010"));
  assert.equal(after.at(-1).id, "last");
  assert.equal(after.length, number + 2);
  // Those above it, and no others, are other rows.
  assert.deepEqual(before.filter((row) => !after.includes(row, Math.max(0, before.indexOf(row) - 2))).map(({ id }) => id), ["s5000", "s5001", "s5002", "s5003", "s5004"]);
  assert.deepEqual([after[5000].errors, after[5000].descendants], [1, 10]);
});

test("what a step has used is kept for all above it: asking walks over nothing", () => {
  const store = new Store(EMPTY, () => {});
  const event = stream();
  const steps = Array.from({ length: 2_000 }, (_, n) => stepOf(`s${n}`, { parent_id: n ? `s${n - 1}` : null }));
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf({ steps }) });
  store.take(event("step.end", stepOf("s1999", { parent_id: "s1998", usage: { input_tokens: 3, output_tokens: 4, cost: 0.5, model: null } })));
  const sums = steps.map(({ id }) => usageOf(store, id));
  assert.ok(sums.every(({ tokens, cost }) => tokens === 7 && cost === 0.5));
  store.take(event("step.start", stepOf("other", { parent_id: "s0" })));
  assert.ok(steps.every(({ id }, n) => usageOf(store, id) === sums[n]), "a sum that is the same is another object");
});

test("the attempts of a run that was tried again have lines of their own, if they are asked for", () => {
  const { store, event } = filled();
  const lines = () => store.rows({ attempts: true, isOpen }).map(({ id, kind, attempt, depth }) => `${"  ".repeat(depth)}${kind === "attempt" ? `${id} attempt ${attempt}` : id}`);
  const isOpen = () => true;
  assert.deepEqual(lines(), ["message", "  r1", "  a", "    b", "      c", "last"]);
  store.take(event("run.start", runOf("r1", { message_id: "message", attempt: 2 })));
  assert.deepEqual(lines(), ["message", "  r1", "  r1 attempt 1", "  a", "    b", "      c", "last"]);
  store.take(event("step.start", stepOf("far", { attempt: 2, parent_id: "last" })));
  assert.deepEqual(lines().slice(-3), ["last", "  r1 attempt 2", "  far"]);
  store.take(event("step.start", stepOf("near", { attempt: 2, parent_id: "message" })));
  store.take(event("step.start", stepOf("below", { attempt: 2, parent_id: "near" })));
  assert.deepEqual(lines().slice(6), ["  r1 attempt 2", "  near", "    below", "last", "  far"]);
  assert.deepEqual(idsOf(store.rows()), ["message", "r1", "a", "b", "c", "near", "below", "last", "far"]);
});

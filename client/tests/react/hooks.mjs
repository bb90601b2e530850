import assert from "node:assert/strict";
import { test } from "node:test";
import { Window } from "happy-dom";
import { act, createElement as h, StrictMode, version } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { Stepwire } from "../../dist/index.js";
import { SessionProvider, useActions, useAsks, useConnection, useElapsed, useFeedback, useOpen, usePending, useRows, useSession, useStep, useStepText, useStore } from "../../dist/react.js";
import { actionOf, askOf, manual, snapshotOf, stepOf, stream } from "../documents.mjs";

const named = (what, run) => test(`React ${REACT_MAJOR}: ${what}`, run);
const started = "2026-11-22T19:00:00.000Z";
const SNAPSHOT = snapshotOf({
  steps: [stepOf("a", { output: "Hello" }), stepOf("b", { parent_id: "a", output: "below", status: "ok", ended_at: "2026-11-22T19:00:03.000Z" })],
});

/** A client whose streams the test feeds. */
function fed() {
  const clock = manual();
  const streams = [];
  const transport = ({ after }, listener) => {
    const stream = { after, listener, open: true };
    streams.push(stream);
    return () => (stream.open = false);
  };
  const client = new Stepwire({ baseUrl: "http://gateway", transport, schedule: clock.schedule });
  const event = stream(1, 0);
  return {
    client,
    streams,
    open: () => streams.filter(({ open }) => open),
    tell: (type, data) => act(async () => (streams.at(-1).listener.event(event(type, data)), clock.flush())),
  };
}

/** An empty page, whose React is unmounted before the page goes. */
function page(t) {
  const window = new Window();
  Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
  const root = window.document.createElement("div");
  window.document.body.append(root);
  const mounted = { root, react: null };
  t.after(async () => {
    await act(async () => mounted.react?.unmount());
    delete globalThis.window;
    delete globalThis.document;
    await window.happyDOM.close();
  });
  return mounted;
}

const renders = new Map();
const counted = (id) => renders.set(id, (renders.get(id) ?? 0) + 1);

function Line({ id }) {
  counted(id);
  const text = useStepText(id);
  return h("p", { id }, text);
}

function Tree() {
  counted("tree");
  return useRows().map(({ id, depth }) => h("li", { key: id, "data-depth": depth }, h(Line, { id })));
}

function Page({ client, snapshot }) {
  const session = useSession(client, "demo", { snapshot });
  return h(SessionProvider, { session }, h(Tree));
}

async function mounted(t, element) {
  const at = page(t);
  at.react = createRoot(at.root);
  await act(async () => at.react.render(element));
  return at.root;
}

named("is what this bundle has", () => assert.ok(version.startsWith(`${REACT_MAJOR}.`)));

named("a token renders the step that it belongs to, and nothing else", async (t) => {
  const { client, tell } = fed();
  const root = await mounted(t, h(Page, { client, snapshot: SNAPSHOT }));
  assert.equal(root.textContent, "Hellobelow");
  renders.clear();
  await tell("step.delta", { id: "b", field: "output", text: "!" });
  assert.equal(root.textContent, "Hellobelow!");
  assert.deepEqual([...renders], [["b", 1]]);
});

named("many tokens in a frame are one render", async (t) => {
  const { client, streams } = fed();
  const clock = manual();
  const one = new Stepwire({ transport: (_, listener) => (streams.push({ listener }), () => {}), schedule: clock.schedule });
  const root = await mounted(t, h(Page, { client: one, snapshot: SNAPSHOT }));
  const event = stream();
  renders.clear();
  await act(async () => {
    for (const text of "many tokens") streams.at(-1).listener.event(event("step.delta", { id: "a", field: "output", text }));
    clock.flush();
  });
  assert.equal(root.textContent, "Hellomany tokensbelow");
  assert.deepEqual([...renders], [["a", 1]]);
});

named("StrictMode opens one stream, and the last to leave closes it", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, streams, open } = fed();
  const at = page(t);
  const react = (at.react = createRoot(at.root));
  await act(async () => react.render(h(StrictMode, null, h(Page, { client, key: 1 }), h(Page, { client, key: 2 }))));
  assert.equal(streams.length, 1);
  await act(async () => react.render(h(StrictMode, null, h(Page, { client, key: 1 }))));
  t.mock.timers.tick(5000);
  assert.equal(open().length, 1);
  await act(async () => react.render(null));
  assert.equal(open().length, 1);
  t.mock.timers.tick(5000);
  assert.equal(open().length, 0);
});

named("a server renders a snapshot, and the page takes it over and goes on from its cursor", async (t) => {
  const server = fed();
  const html = renderToString(h(Page, { client: server.client, snapshot: SNAPSHOT }));
  assert.match(html, /<p id="a">Hello<\/p>/);
  assert.equal(server.streams.length, 0);

  const at = page(t);
  const { root } = at;
  root.innerHTML = html;
  const { client, streams, tell } = fed();
  const complaints = [];
  t.mock.method(console, "error", (...words) => complaints.push(words));
  await act(async () => (at.react = hydrateRoot(root, h(Page, { client, snapshot: SNAPSHOT }), { onRecoverableError: (error) => complaints.push(error) })));
  assert.deepEqual(complaints, []);
  assert.equal(streams[0].after, "1-0");
  await tell("step.delta", { id: "a", field: "output", text: " you" });
  assert.equal(root.textContent, "Hello youbelow");
});

named("a page takes markup over after events have come, without a mismatch", async (t) => {
  const html = renderToString(h(Page, { client: fed().client, snapshot: SNAPSHOT }));
  const { client, tell } = fed();
  await mounted(t, h(Page, { client, snapshot: SNAPSHOT }));
  await tell("step.delta", { id: "a", field: "output", text: " early" });

  const root = document.createElement("div");
  document.body.append(root);
  root.innerHTML = html;
  const complaints = [];
  t.mock.method(console, "error", (...words) => complaints.push(words));
  let react;
  await act(async () => (react = hydrateRoot(root, h(Page, { client, snapshot: SNAPSHOT }), { onRecoverableError: (error) => complaints.push(error) })));
  assert.deepEqual(complaints, []);
  assert.equal(root.textContent, "Hello earlybelow");
  await act(async () => react.unmount());
});

named("asks, feedback, what is open, time, connection and what is being sent are told", async (t) => {
  const { client, streams, tell } = fed();
  t.mock.timers.enable({ apis: ["setInterval"] });
  let seen;
  function Spy({ session }) {
    const [feedback] = useFeedback("a");
    const [open, setOpen] = useOpen("a");
    seen = { feedback, open, setOpen, actions: useActions("a")[0], asks: useAsks("a"), all: useAsks(), state: useConnection().state, step: useStep("a"), pending: usePending("m")?.state, took: useElapsed("b"), running: useElapsed("a"), session };
    return null;
  }
  function Root() {
    const session = useSession(client, "demo", { snapshot: SNAPSHOT });
    return h(SessionProvider, { session }, h(Spy, { session }));
  }
  await mounted(t, h(Root));
  assert.equal(seen.took, 3000);
  assert.ok(seen.running > 0);
  assert.equal(seen.open, true);
  await tell("ask", askOf("why", "a"));
  await tell("action.add", actionOf("go", "a"));
  await tell("feedback", { step_id: "a", value: 1, comment: null, ts: started });
  await act(async () => streams[0].listener.connection({ state: "live", attempt: 0, error: null }));
  await act(async () => seen.setOpen(false));
  const failed = seen.session.send("Hi", { id: "m" }).catch(({ code }) => code);
  await tell("step.update", stepOf("a", { status: "ok" }));
  assert.deepEqual(seen.actions.map(({ id }) => id), ["go"]);
  assert.deepEqual([seen.asks[0].id, seen.all[0].id, seen.feedback.value, seen.open, seen.state, seen.pending], ["why", "why", 1, false, "live", "sending"]);
  await act(async () => assert.equal(await failed, "unreachable"));
  await tell("step.update", stepOf("a", { status: "ok", output: "x" }));
  assert.equal(seen.pending, "failed");
  assert.equal(seen.step.output, "x");
});

named("a selector that makes a new object each time renders once for each change", async (t) => {
  const { client, tell } = fed();
  let rendered = 0;
  function Summary() {
    const { running } = useStore("rows", (store) => ({ running: store.steps().filter(({ status }) => status === "running").map(({ id }) => id) }));
    rendered += 1;
    return running.join();
  }
  function Root() {
    return h(SessionProvider, { session: useSession(client, "demo", { snapshot: SNAPSHOT }) }, h(Summary));
  }
  const root = await mounted(t, h(Root));
  assert.deepEqual([root.textContent, rendered], ["a", 1]);
  await tell("step.start", stepOf("c"));
  assert.deepEqual([root.textContent, rendered], ["a,c", 2]);
  await tell("step.update", stepOf("c", { name: "other" }));
  assert.equal(rendered, 2);
});

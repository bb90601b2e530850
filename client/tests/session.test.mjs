import assert from "node:assert/strict";
import { test } from "node:test";
import { Stepwire, StepwireError, uploadWithProgress } from "../dist/index.js";
import { FrameReader } from "../dist/sse.js";
import { runOf, snapshotOf, stepOf, stream } from "./documents.mjs";
import { frame, problem, serve, streaming, until } from "./gateway.mjs";

const LIMIT = { timeout: 20_000 };
const jwt = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
const snapshot = frame({ id: "1-0", type: "snapshot", data: snapshotOf({ steps: [stepOf("a")] }) });
const event = stream();
const token = event("step.delta", { id: "a", field: "output", text: "x" });

async function opened(t, answer, options = {}) {
  const gateway = await serve(t, answer);
  const client = new Stepwire({ baseUrl: gateway.url, ...options });
  const session = client.session("demo").open();
  t.after(() => session.close());
  return { ...gateway, client, session, store: session.store };
}

test("a stream that breaks goes on from its cursor, and what comes again is dropped", LIMIT, async (t) => {
  const { store, requests, session } = await opened(t, (_, response, n) => {
    streaming(response);
    if (n === 1) response.end(snapshot + frame(token));
    else response.write(frame(token) + frame({ id: "1-2", type: "step.sings", data: 1 }) + frame({ ...token, id: "1-3" }));
  });
  await until(store, "any", () => session.cursor === "1-3");
  assert.equal(store.step("a").output, "xx");
  assert.equal(store.gaps(), 0);
  assert.equal(requests[0].headers["last-event-id"], undefined);
  assert.equal(requests[1].headers["last-event-id"], "1-1");
});

test("a hole in the ids is counted, and closed with a snapshot", LIMIT, async (t) => {
  const { store, requests } = await opened(t, (_, response, n) => {
    streaming(response);
    response.write(n === 1 ? snapshot + frame({ ...token, id: "1-9" }) : frame({ id: "1-9", type: "snapshot", data: snapshotOf({ steps: [stepOf("a", { output: "all of it" })] }) }));
  });
  await until(store, "step:a", () => store.step("a")?.output === "all of it");
  assert.equal(store.gaps(), 1);
  assert.equal(requests[1].headers["last-event-id"], undefined);
});

test("a frame that has an id alone moves the cursor", LIMIT, async (t) => {
  const { store, requests } = await opened(t, (_, response, n) => {
    streaming(response);
    if (n === 1) response.end(`${snapshot}id: 1-40\n\n`);
    else response.write(frame({ ...token, id: "1-41" }));
  });
  await until(store, "step:a", () => store.step("a")?.output === "x");
  assert.equal(requests[1].headers["last-event-id"], "1-40");
});

test("a stream that is refused says why, and does not come back", LIMIT, async (t) => {
  const { store, requests } = await opened(t, (_, response) => problem(response, 404, "session_not_found"));
  await until(store, "connection", () => store.connection().state === "closed");
  const { error } = store.connection();
  assert.ok(error instanceof StepwireError);
  assert.deepEqual([error.code, error.status, error.message, error.problem.field], ["session_not_found", 404, "because of session_not_found", 7]);
  assert.equal(requests.length, 1);
});

test("refusals that pass are tried again, when the gateway says so", LIMIT, async (t) => {
  const states = [];
  const { store } = await opened(t, (_, response, n) => {
    if (n === 1) problem(response, 503, "store_unavailable", { "retry-after": "0" });
    else if (n === 2) problem(response, 429, "limit_exceeded", { "retry-after": "0" });
    else streaming(response) && response.write(snapshot);
  }, { schedule: (flush) => flush() });
  store.subscribe("connection", () => states.push(store.connection().state));
  await until(store, "connection", () => store.connection().state === "live");
  assert.ok(states.includes("reconnecting"));
  assert.equal(store.connection().attempt, 0);
  assert.equal(store.connection().error, null);
});

test("what is no event stream is no gateway", LIMIT, async (t) => {
  const { store } = await opened(t, (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"));
  await until(store, "connection", () => store.connection().state === "closed");
  assert.equal(store.connection().error.code, "bad_answer");
});

test("a fetch that cannot stream is told of, and not asked for ever", LIMIT, async () => {
  const headers = new Headers({ "content-type": "text/event-stream" });
  const fetch = async () => ({ ok: true, status: 200, headers, body: null });
  const { store } = new Stepwire({ baseUrl: "http://gateway.test", fetch }).session("demo").open();
  await until(store, "connection", () => store.connection().state === "closed");
  assert.equal(store.connection().error.code, "bad_answer");
  assert.match(store.connection().error.message, /cannot stream/);
});

test("a token is asked for once, renewed when it is refused, and once before it ends", LIMIT, async (t) => {
  const reasons = [];
  const soon = Math.floor(Date.now() / 1000) + 90;
  const tokens = { first: jwt({ exp: soon + 9000 }), refused: jwt({ exp: soon }), expiring: "opaque" };
  const { url, requests } = await serve(t, ({ headers }, response) => {
    if (headers.authorization === `Bearer ${tokens.first}`) problem(response, 401, "unauthenticated");
    else response.writeHead(202).end(JSON.stringify({ run_id: "r" }));
  });
  const client = new Stepwire({ baseUrl: url, getToken: async (reason) => (reasons.push(reason), tokens[reason]) });
  const session = client.session("demo");
  await Promise.all([session.run("a"), session.run("b")]);
  assert.deepEqual(reasons, ["first", "refused"]);
  assert.match(session.elementUrl("e"), /\/v1\/sessions\/demo\/elements\/e\?token=h\./);
  t.mock.method(Date, "now", () => soon * 1000);
  await session.run("c");
  await session.run("d");
  assert.deepEqual(reasons, ["first", "refused", "expiring"]);
  assert.equal(requests.at(-1).headers.authorization, "Bearer opaque");
});

test("a token that is refused again is an error, and no endless loop", LIMIT, async (t) => {
  const { url, requests } = await serve(t, (_, response) => problem(response, 401, "unauthenticated"));
  const session = new Stepwire({ baseUrl: url, getToken: (reason) => reason }).session("demo");
  await assert.rejects(session.cancel("r"), { code: "unauthenticated", status: 401 });
  assert.equal(requests.length, 2);
  const failing = new Stepwire({ baseUrl: url, getToken: () => Promise.reject(new Error("no backend")) }).session("demo");
  await assert.rejects(failing.cancel("r"), { code: "no_token", message: /no backend/ });
});

test("a message is shown at once, and replaced by the one that the session has", LIMIT, async (t) => {
  let stream = null;
  const { store, session, requests } = await opened(t, ({ method }, response) => {
    if (method === "GET") streaming((stream = response)) && response.write(snapshot);
    else response.writeHead(202).end(JSON.stringify({ run_id: "r", message_id: "m1" }));
  });
  await until(store, "step:a", () => store.step("a"));
  const sent = session.send("Hello", { id: "m1", metadata: { a: 1 } });
  assert.equal(store.step("m1").output, "Hello");
  assert.equal(store.pending("m1").state, "sending");
  assert.deepEqual(store.rows().map(({ id }) => id), ["a", "m1"]);
  assert.deepEqual(await sent, { run_id: "r", message_id: "m1" });
  assert.deepEqual(JSON.parse(requests.at(-1).body), { id: "m1", content: "Hello", elements: [], metadata: { a: 1 } });
  stream.write(frame({ id: "1-1", type: "step.start", data: stepOf("m1", { type: "user_message", output: "Hello" }) }));
  await until(store, "step:m1", () => !store.pending("m1"));
  assert.deepEqual(store.rows().map(({ id }) => id), ["a", "m1"]);
});

test("a message that cannot go out says so, and can be sent again or discarded", LIMIT, async (t) => {
  const held = [];
  const { url } = await serve(t, (_, response, n) => (n === 1 ? held.push(response) : problem(response, 429, "queue_full", { "retry-after": "3" })));
  const session = new Stepwire({ baseUrl: url, timeoutMs: 200 }).session("demo");
  await assert.rejects(session.send("Hello", { id: "m1" }), { code: "no_answer", passes: true });
  assert.equal(session.store.pending("m1").state, "failed");
  assert.equal(session.store.pending("m1").error.code, "no_answer");
  const again = session.send("Hello", { id: "m1" });
  assert.equal(session.store.pending("m1").state, "sending");
  await assert.rejects(again, { code: "queue_full", retryAfterS: 3 });
  session.store.discard("m1");
  assert.deepEqual([session.store.step("m1"), session.store.pending("m1"), session.store.rows()], [undefined, undefined, []]);
});

test("a gateway that is not there is told from one that does not answer", LIMIT, async () => {
  const session = new Stepwire({ baseUrl: "http://127.0.0.1:9" }).session("demo");
  await assert.rejects(session.cancel("r"), { code: "unreachable", status: 0 });
});

test("another site that has an element does not learn the token", LIMIT, async (t) => {
  const other = await serve(t, (_, response) => response.writeHead(200).end("bytes"));
  const { url, requests } = await serve(t, (_, response) => response.writeHead(200).end("ours"));
  const session = new Stepwire({ baseUrl: url, getToken: () => "secret" }).session("demo");
  assert.equal(await (await session.elementBlob({ url: `${other.url}/cat.png` })).text(), "bytes");
  assert.equal(await (await session.elementBlob("cat")).text(), "ours");
  assert.equal(other.requests[0].headers.authorization, undefined);
  assert.equal(requests[0].headers.authorization, "Bearer secret");
});

test("every call goes where the protocol says", LIMIT, async (t) => {
  const answers = { "POST /v1/sessions": { session_id: "made" } };
  const { url, requests } = await serve(t, ({ method, url: path }, response) => {
    if (method === "DELETE") return response.writeHead(204).end();
    response.writeHead(200).end(JSON.stringify(answers[`${method} ${path}`] ?? { id: "e1", run_id: "r" }));
  });
  const client = new Stepwire({ baseUrl: `${url}/` });
  const session = await client.create("made");
  const file = new File(["bytes"], "a b.txt", { type: "text/plain" });
  const sent = [];
  await client.snapshot("made");
  await session.send("x", { id: "m", files: [file] });
  await session.send("y", { id: "n", files: ["e0", file], retry_of: "r0" });
  await session.run("task", { a: 1 }, { id: "r1", defer_until: "2030-01-01T00:00:00Z" });
  await session.retry("r/1", "r3");
  await session.request("r/1");
  await session.cancel("r/1");
  await session.resume("r2");
  await session.answer("k", { content: "y" }, { id: "i" });
  await session.answer("k", { action: "z" }, { id: "i" });
  await session.answer("k", { files: [file] }, { id: "i" });
  await session.answer("k", { files: ["e0"] }, { id: "i" });
  await session.rate("s", 1, "good");
  await session.rate("s", null);
  await uploadWithProgress(session, file, (bytes) => sent.push(bytes), { name: "other" });
  assert.equal(await (await session.elementBlob("e1")).text(), '{"id":"e1","run_id":"r"}');
  await session.delete();
  const s = "/v1/sessions/made";
  assert.deepEqual(requests.map(({ method, path, body }) => [method, path, body]), [
    ["POST", "/v1/sessions", '{"id":"made"}'],
    ["GET", s, ""],
    ["POST", `${s}/elements?name=a%20b.txt`, "bytes"],
    ["POST", `${s}/messages`, '{"id":"m","content":"x","elements":["e1"]}'],
    ["POST", `${s}/elements?name=a%20b.txt`, "bytes"],
    ["POST", `${s}/messages`, '{"retry_of":"r0","id":"n","content":"y","elements":["e0","e1"]}'],
    ["POST", `${s}/runs`, '{"id":"r1","defer_until":"2030-01-01T00:00:00Z","task":"task","args":{"a":1}}'],
    ["POST", `${s}/runs/r%2F1/retry`, '{"id":"r3"}'],
    ["GET", `${s}/runs/r%2F1/request`, ""],
    ["POST", `${s}/runs/r%2F1/cancel`, "{}"],
    ["POST", `${s}/resume`, '{"id":"r2"}'],
    ["POST", `${s}/asks/k`, '{"content":"y","id":"i"}'],
    ["POST", `${s}/asks/k`, '{"action":"z","id":"i"}'],
    ["POST", `${s}/elements?name=a%20b.txt`, "bytes"],
    ["POST", `${s}/asks/k`, '{"files":["e1"],"id":"i"}'],
    ["POST", `${s}/asks/k`, '{"files":["e0"],"id":"i"}'],
    ["PUT", `${s}/steps/s/feedback`, '{"value":1,"comment":"good"}'],
    ["DELETE", `${s}/steps/s/feedback`, ""],
    ["POST", `${s}/elements?name=other`, "bytes"],
    ["GET", `${s}/elements/e1`, ""],
    ["DELETE", s, ""],
  ]);
  assert.deepEqual(sent, [5]);
  assert.equal(session.elementUrl({ url: "https://elsewhere.example/cat.png" }), "https://elsewhere.example/cat.png");
  const below = new Stepwire({ baseUrl: "https://app.example/live/agents" }).session("demo");
  for (const path of ["/v1/sessions/demo/elements/e", "/v1/sessions/v1/elements/v1"])
    for (const url of [`/live/agents${path}`, path])
      assert.equal(below.elementUrl({ url }), `https://app.example/live/agents${path}`);
});

test("the events of a run end with it, and a loop over them can be left", LIMIT, async (t) => {
  const { url, requests } = await serve(t, ({ headers }, response) => {
    if (headers["last-event-id"]) return response.writeHead(204).end();
    streaming(response);
    response.end(frame({ id: "1-4", type: "run.start", data: runOf("r1") }) + frame({ id: "1-9", type: "run.end", data: runOf("r1") }));
  });
  const session = new Stepwire({ baseUrl: url }).session("demo");
  const types = [];
  for await (const { type } of session.events({ run: "r1", types: ["run.start", "run.end"] })) types.push(type);
  assert.deepEqual(types, ["run.start", "run.end"]);
  assert.equal(requests[0].path, "/v1/sessions/demo/runs/r1/events?types=run.start,run.end");
  for await (const _ of session.events({ run: "r1" })) break;
});

test("events that are refused throw", LIMIT, async (t) => {
  const { url } = await serve(t, (_, response) => problem(response, 403, "forbidden"));
  const events = new Stepwire({ baseUrl: url }).session("demo").events();
  await assert.rejects(events.next(), { code: "forbidden" });
});

test("frames are read whatever the network has cut them into", () => {
  const text = ": ping\n\nretry: 7\n\nid: 1-1\r\nevent: a\rdata: {\"ä\":\ndata: 1}\n\nid: 1-2\n\n";
  const expected = [{}, { retryMs: 7 }, { id: "1-1", type: "a", data: '{"ä":\n1}' }, { id: "1-2" }];
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < bytes.length; at += size) frames.push(...reader.read(bytes.subarray(at, at + size)));
    assert.deepEqual(frames, expected, `in pieces of ${size}`);
  }
});

for (const seconds of [3600, -3600]) {
  test(`a server's clock that is ${seconds} s ahead is known once something live has come`, LIMIT, async (t) => {
    const ts = new Date(Date.now() + seconds * 1000).toISOString();
    const { session, store } = await opened(t, (_, response) => {
      streaming(response);
      response.write(snapshot + frame({ id: "1-1", type: "step.start", data: stepOf("b", { ts }) }));
    });
    await until(store, "step:b", () => store.step("b"));
    assert.ok(Math.abs(session.serverNow() - Date.now() - seconds * 1000) < 60_000);
  });
}

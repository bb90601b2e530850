import assert from "node:assert/strict";
import { test } from "node:test";
import { StepwireError } from "../dist/index.js";
import { folded, Lists } from "../dist/lists.js";
import { problem, serve, streaming } from "./gateway.mjs";

const LIMIT = { timeout: 20_000 };
const entry = (id, updated_at, fields = {}) => ({ id, title: id, status: "ok", created_at: "2026", updated_at, subject: null, ...fields });
const frame = (type, data) => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
const ids = (list) => list.map(({ id }) => id).join("");

test("pages, runs and workers are asked for with what is given, and a token", LIMIT, async (t) => {
  const { url, requests } = await serve(t, (request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(request.url.startsWith("/v1/workers") ? { workers: [{ id: "w" }] } : { sessions: [], runs: [], next: "n" }));
  });
  const lists = new Lists({ baseUrl: url, getToken: () => "secret" });
  const { next } = await lists.sessions({ title: "a b&c", limit: 2 });
  await lists.sessions({ subject: undefined }, { cursor: next });
  await lists.runs({ status: ["error", "interrupted"], tag: "nightly" }, { cursor: null });
  assert.deepEqual(await lists.workers(), [{ id: "w" }]);
  assert.equal((await lists.tasks()).next, "n");
  assert.deepEqual(requests.map(({ path }) => path), [
    "/v1/sessions?title=a+b%26c&limit=2",
    "/v1/sessions?cursor=n",
    "/v1/runs?tag=nightly&status=error%2Cinterrupted",
    "/v1/workers",
    "/v1/tasks",
  ]);
  assert.ok(requests.every(({ headers }) => headers.authorization === "Bearer secret"));
});

test("a list that is watched goes on over its connections", LIMIT, async (t) => {
  const { url, requests } = await serve(t, (_, response, n) => {
    streaming(response);
    if (n === 1) response.end(frame("sessions", { sessions: [entry("b", "2"), entry("a", "1")], next: null }) + frame("session", entry("a", "3")) + frame("session.sings", 7));
    else response.write(frame("sessions", { sessions: [entry("b", "2")], next: null }));
  });
  const seen = [];
  for await (const list of new Lists({ baseUrl: url }).watch({ status: "ok" })) {
    seen.push(ids(list));
    if (requests.length === 2) break;
  }
  assert.deepEqual(seen, ["ba", "ab", "b"]);
  assert.equal(requests[0].path, "/v1/events?status=ok&limit=50");
  assert.equal(requests[1].headers["last-event-id"], undefined);
});

test("a list that is refused for good says why", LIMIT, async (t) => {
  const { url } = await serve(t, (_, response) => problem(response, 403, "forbidden"));
  await assert.rejects(new Lists({ baseUrl: url }).watch().next(), (error) => error instanceof StepwireError && error.code === "forbidden");
});

test("a list that is watched ends with its signal", LIMIT, async (t) => {
  const { url } = await serve(t, (_, response) => streaming(response) && response.write(frame("sessions", { sessions: [], next: null })));
  const leaving = new AbortController();
  let lists = 0;
  for await (const list of new Lists({ baseUrl: url }).watch({ signal: leaving.signal })) {
    assert.deepEqual(list, []);
    lists += 1;
    leaving.abort();
  }
  assert.equal(lists, 1);
});

test("the fold keeps the newest, in order, and entries that have not changed", () => {
  let list = folded([], "sessions", { sessions: [entry("c", "3"), entry("b", "2"), entry("a", "1")] });
  const [, b] = list;
  list = folded(list, "session", entry("a", "4"), 3);
  assert.equal(ids(list), "acb");
  list = folded(list, "session", entry("d", "5"), 3);
  assert.equal(ids(list), "dac");
  assert.equal(folded(list, "session.remove", { id: "x" }), list);
  assert.equal(folded(list, "step.start", {}), list);
  assert.equal(ids(folded(list, "session.remove", { id: "a" })), "dc");
  const again = folded([b], "sessions", { sessions: [entry("b", "2"), entry("c", "9")] });
  assert.equal(again[0], b);
});

test("a session whose server is away stays as it was known", () => {
  const list = folded([], "sessions", { sessions: [entry("c", "3"), entry("b", "2"), entry("a", "1")] });
  const partial = folded(list, "sessions", { sessions: [entry("d", "4"), entry("a", "1")], unavailable: ["b", "x"] });
  assert.equal(ids(partial), "dba");
  assert.equal(partial[1], list[1]);
});

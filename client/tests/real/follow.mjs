// Follows a session of a real gateway, as tests/client/test_gateways.py says on standard input, one call
// a line: `{"call": name, "args": [...]}`. Answers each with a line of JSON.
import { createInterface } from "node:readline";
import { fold, Stepwire, StepwireError } from "../../dist/index.js";
import { Lists } from "../../dist/lists.js";

const [baseUrl, id] = process.argv.slice(2);
const session = new Stepwire({ baseUrl, getToken: process.env.TOKENS ? nextToken : undefined, schedule: (flush) => flush() }).session(id).open();
const { store } = session;
const states = new Set();
store.subscribe("connection", () => states.add(store.connection().state));

/** A stream of its own, folded purely: it must come to the same as the store. */
let folded = null;
void (async () => {
  for await (const event of session.events()) folded = folded ? fold(folded, event) : event.data;
})().catch((error) => {
  // So it ends when the session is deleted.
  if (error.code !== "session_not_found") throw error;
});

/** The list of sessions with this title, as it is watched. */
const lists = new Lists({ baseUrl });
let listed = null;
if (process.env.TITLE) {
  void (async () => {
    for await (const entries of lists.watch({ title: process.env.TITLE })) listed = entries;
  })();
}

async function nextToken(reason) {
  const response = await fetch(`${baseUrl}/v1/tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.TOKENS}`, "content-type": "application/json" },
    body: JSON.stringify({ sub: "ada", sessions: [id], rights: ["read", "write", "cancel", "admin"], ttl_s: Number(process.env.TTL_S) }),
  });
  reasons.push(reason);
  return (await response.json()).token;
}
const reasons = [];

const calls = {
  send: (content) => session.send(content),
  view: () => store.snapshot(),
  folded: () => folded,
  listed: () => listed,
  page: (query) => lists.sessions(query),
  connection: () => ({ ...store.connection(), states: [...states], gaps: store.gaps(), reasons }),
  rate: (...args) => session.rate(...args),
  click: (...args) => session.click(...args),
  answer: (...args) => session.answer(...args),
  cancel: (runId) => session.cancel(runId),
  delete: () => session.delete(),
  upload: async (name, text) => session.upload(new Blob([text], { type: "text/plain" }), { name }),
  bytes: async (elementId) => (await session.elementBlob(elementId)).text(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: (await calls[call](...args)) ?? null }));
  } catch (error) {
    if (!(error instanceof StepwireError)) throw error;
    console.log(JSON.stringify({ error: { code: error.code, status: error.status } }));
  }
}
process.exit();

// CopilotKit's runtime client ("@copilotkit/core"), which its React components stand on, without a page. What it is to
// do comes as one line of JSON on stdin; what it has at the end goes out as one line.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const load = createRequire(`${asked.packages}/`);
const { CopilotKitCore, ɵcreateThreadStore: createThreadStore } = load("@copilotkit/core");
if (!process.env.LOUD) console.warn = console.error = () => {};
process.on("uncaughtException", (error) => { console.error(error); });

// Without a window it takes itself for a server, and connects to nothing.
globalThis.window = { location: new URL("http://127.0.0.1/") };

const errors = [], listed = [];
let core, agent, running;
const until = async (check) => {
  while (!check()) await new Promise((resolve) => { setTimeout(resolve, 5); });
};

async function open() {
  core = new CopilotKitCore({ runtimeUrl: asked.url, headers: asked.headers ?? {}, properties: asked.properties ?? {} });
  core.subscribe({ onError: ({ error, code }) => { errors.push([code, error.message]); } });
  await until(() => ["connected", "error"].includes(core.runtimeConnectionStatus));
  agent = core.getAgent("default");
  if (agent !== undefined) agent.threadId = asked.thread;
}

const said = () => agent.messages.map(({ content }) => (typeof content === "string" ? content : "")).join("");
const actions = {
  reload: open,
  say: async (content, id) => { agent.addMessage({ id: id ?? crypto.randomUUID(), role: "user", content }); },
  run: () => core.runAgent({ agent }),
  begin: async () => { running = core.runAgent({ agent }); },
  connect: () => core.connectAgent({ agent }),
  follow: async () => { running = core.connectAgent({ agent }); },
  untilText: (part) => until(() => said().includes(part)),
  stop: async () => { agent.abortRun(); await running; },
  detach: async () => { await agent.detachActiveRun(); await running; },
  ended: () => running,
  tell: async () => {},
  answer: (payload) => core.runAgent({ agent, resume: agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload })) }),
  threads: async (...changes) => {
    const store = createThreadStore({ fetch: (url, init) => fetch(url, init) });
    store.start();
    store.setContext({ runtimeUrl: asked.url, headers: asked.headers ?? {}, agentId: "default", limit: 50 });
    await until(() => !store.getState().isLoading);
    for (const [change, ...values] of changes) {
      try {
        await store[change](...values);
      } catch (error) {
        errors.push([change, error.message]);
      }
    }
    listed.push(...store.getState().threads);
    store.stop();
  },
};
await open();
for (const [name, ...values] of asked.actions) {
  await actions[name](...values);
  if (asked.tells) console.log(JSON.stringify({ did: name }));
}
const found = { status: core.runtimeConnectionStatus, messages: agent?.messages, state: agent?.state, interrupts: agent?.pendingInterrupts, isRunning: agent?.isRunning, errors, threads: listed };
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));

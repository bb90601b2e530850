// LangGraph's stock "useStream", in React without a browser; or "StreamController" of the newer SDK, on which it stands. What it is to do comes as one line of JSON on stdin; what it
// has at the end goes out as one line, and the name of each thing that is done before that.
import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const load = createRequire(`${asked.packages}/`);
const { Window } = load("happy-dom");
const window = new Window({ url: "http://127.0.0.1/" });
// React's own fetch, streams and timers stay Node's.
Object.assign(globalThis, { window, document: window.document });
const { createElement } = load("react");
const { createRoot } = load("react-dom/client");
const { useStream, useToolCalls } = load("@langchain/react");
const { Client } = load("@langchain/langgraph-sdk");
const { StreamController } = load("@langchain/langgraph-sdk/stream");

const requests = [];
let stream, nested = [], root, controller, running, cut = null;

async function fetched(url, init) {
  const response = await fetch(url, init);
  requests.push([init?.method ?? "GET", new URL(url).pathname.split("/threads/")[1].split("/").slice(1).join("/"), response.status]);
  if (cut === null || !String(url).endsWith("/events") || response.body === null) return response;
  const most = cut;
  let seen = 0;
  const body = response.body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      seen += chunk.length;
      if (seen <= most) return controller.enqueue(chunk);
      cut = null;
      controller.error(new TypeError("network error"));
    },
  }));
  return new Response(body, { status: response.status, headers: response.headers });
}

function Nested({ graph }) {
  nested = useToolCalls(stream, graph);
  return null;
}

const options = { assistantId: "agent", threadId: asked.thread, fetch: fetched, reconnectDelayMs: () => asked.delayMs ?? 20 };

function Page() {
  stream = useStream({ ...options, apiUrl: asked.url });
  const [graph] = asked.nested ? stream.subgraphs.values() : [];
  return graph ? createElement(Nested, { graph }) : null;
}

const until = async (check) => {
  while (!check()) await new Promise((resolve) => { setTimeout(resolve, 5); });
};
const said = () => stream.messages.filter(({ type }) => type === "ai").map((message) => message.text).join("");
const submit = (content, options) => stream.submit({ messages: [{ type: "human", content }] }, options);
const actions = {
  reload: async () => {
    if (asked.package === "sdk") {
      await controller?.dispose();
      controller = new StreamController({ ...options, client: new Client({ apiUrl: asked.url }) });
      await controller.hydrationPromise;
      stream = new Proxy(controller, {
        get: (_, name) => (name in controller && !(name in controller.rootStore.getSnapshot()) ? controller[name].bind?.(controller) ?? controller[name] : controller.rootStore.getSnapshot()[name]),
      });
      return;
    }
    root?.unmount();
    stream = undefined;
    root = createRoot(document.body.appendChild(document.createElement("div")));
    root.render(createElement(Page));
    await until(() => stream !== undefined && !stream.isThreadLoading);
  },
  submit: async (content) => {
    await submit(content);
    await until(() => !stream.isLoading);
  },
  begin: async (content, options) => { running = submit(content, options); },
  cut: async (bytes) => { cut = bytes; },
  untilText: (part) => until(() => said().includes(part)),
  untilAsked: () => until(() => stream.interrupt !== undefined),
  untilLoading: () => until(() => stream.isLoading),
  untilIdle: () => until(() => !stream.isLoading),
  untilNested: () => until(() => nested.some(({ status }) => status === "finished")),
  respond: (value) => stream.respond(value),
  stop: () => stream.stop(),
  touch: (path) => writeFile(path, ""),
  untilSeen: (path) => until(() => existsSync(path)),
  ended: () => running,
};
await actions.reload();
for (const [name, ...values] of asked.actions) {
  await actions[name](...values);
  console.log(JSON.stringify({ did: name }));
}
// What came last is shown in the next turn.
await new Promise((resolve) => { setTimeout(resolve, 50); });
const calls = (all) => all.map(({ name, args, output, status, error }) => ({ name, args, output, status, error }));
const shown = {
  messages: stream.messages.map((message) => ({ id: message.id, type: message.type, text: message.text, calls: message.tool_calls?.map(({ name }) => name) ?? [] })),
  tool_calls: calls(stream.toolCalls), nested: calls(nested), subgraphs: [...(stream.subgraphs?.values() ?? [])].map(({ namespace, status }) => ({ namespace, status })),
  interrupts: stream.interrupts.map(({ id, value }) => ({ id, value })), is_loading: stream.isLoading, error: stream.error?.message ?? null, requests,
};
process.stdout.write(`${JSON.stringify(shown)}\n`, () => process.exit(0));

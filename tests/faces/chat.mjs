// A chat of the stock package "ai", of the version that is asked for, as useChat has it without a page. What it is to
// do comes as one line of JSON on stdin; what it shows after each thing goes out as one line. Node needs
// --experimental-import-meta-resolve: the packages lie with the example.
import { pathToFileURL } from "node:url";
import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const load = (name) => import(import.meta.resolve(name, pathToFileURL(`${asked.packages}/`)));
const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } = await load(asked.package);

class State {
  status = "ready";
  error = undefined;
  constructor(messages) { this.messages = messages; }
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => { this.messages = this.messages.with(index, structuredClone(message)); };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor({ messages = [], ...options }) { super({ ...options, state: new State(messages) }); }
}

const transient = [], errors = [], finished = [], requests = [];
let cutAfter = null;

// Counts what comes, and fails as a network does after so many chunks.
async function fetched(url, init) {
  const response = await fetch(url, init);
  requests.push({ url: String(url), status: response.status, runId: response.headers.get("x-workflow-run-id"), tail: response.headers.get("x-workflow-stream-tail-index") });
  if (cutAfter === null || response.body === null) return response;
  const most = cutAfter;
  cutAfter = null;
  let seen = 0;
  const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new TransformStream({
    transform(piece, controller) {
      for (const frame of piece.split(/(?<=\n\n)/)) {
        if (seen >= most) return controller.error(new TypeError("network error"));
        controller.enqueue(frame);
        if (frame.startsWith("data:")) seen++;
      }
    },
  })).pipeThrough(new TextEncoderStream());
  return new Response(body, { status: response.status, headers: response.headers });
}

async function transport() {
  const { api, headers } = asked;
  if (asked.transport !== "workflow") return new DefaultChatTransport({ api, headers, fetch: fetched });
  const { WorkflowChatTransport } = await load("@workflow/ai");
  return new WorkflowChatTransport({
    api, fetch: fetched, initialStartIndex: asked.startIndex,
    prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
      headers: { "content-type": "application/json", ...headers }, body: { id, messages, trigger, messageId },
    }),
    prepareReconnectToStreamRequest: ({ api: usual }) => ({ api: usual, headers }),
  });
}

const chat = new Chat({
  id: asked.chat, messages: asked.messages, transport: await transport(),
  sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  onData: (part) => part.type.endsWith("-delta") && transient.push(part),
  onError: (error) => errors.push(error.message),
  onFinish: ({ isAbort, isDisconnect, isError }) => finished.push({ isAbort, isDisconnect, isError }),
});

const until = async (check) => {
  while (!check()) await new Promise((resolve) => { setTimeout(resolve, 5); });
};
const textOf = (message) => (message?.parts ?? []).filter(({ type }) => type === "text").map(({ text: said }) => said).join("");
let sending;
const actions = {
  send: (message, options) => chat.sendMessage(message, options),
  begin: async (message) => { sending = chat.sendMessage(message); },
  untilText: (characters) => until(() => textOf(chat.lastMessage).length >= characters),
  untilPart: (type) => until(() => chat.lastMessage?.parts.some((part) => part.type === type)),
  ended: () => sending,
  regenerate: (options) => chat.regenerate(options),
  resume: () => chat.resumeStream(),
  beginResume: async () => { sending = chat.resumeStream(); },
  touch: (path) => writeFile(path, ""),
  stop: () => chat.stop(),
  cut: async (chunks) => { cutAfter = chunks; },
  post: async (path, body) => { await fetch(`${asked.api}${path}`, { method: "POST", headers: { "content-type": "application/json", ...asked.headers }, body: JSON.stringify(body ?? {}) }); },
  decide: async (approved) => {
    const asking = chat.lastMessage.parts.find(({ state }) => state === "approval-requested");
    const before = finished.length;
    await chat.addToolApprovalResponse({ id: asking.approval.id, approved });
    await until(() => finished.length > before && chat.status !== "streaming");
  },
  answer: async (body) => {
    const ask = chat.lastMessage.parts.findLast(({ type }) => type === "data-ask");
    await actions.post(`/${chat.id}/asks/${ask.data.id}`, body);
  },
};
for (const [name, ...values] of asked.actions) await actions[name](...values);
console.log(JSON.stringify({ messages: chat.messages, status: chat.status, error: chat.error?.message, errors, finished, transient, requests }));
process.exit(0);

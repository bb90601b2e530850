// An agent of the stock package "@ag-ui/client", of the version that is asked for. What it is to do comes as one line of
// JSON on stdin; what it has at the end goes out as one line. Its own pipeline checks each event: schema, then sequence.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
// The oldest version cannot apply a JSON patch when Node imports it.
const { HttpAgent, randomUUID } = createRequire(`${asked.packages}/`)(asked.package);
console.warn = console.error = () => {};
// Older versions reject a second time when a stream fails, where nobody can hear it.
process.on("uncaughtException", () => {});

const runs = [], requests = [];
let cutAfter = null, comesBack = false;

const frames = async function* (response) {
  let waiting = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (waiting + piece).split("\n\n");
    waiting = parts.pop();
    yield* parts;
  }
};

// As a network that fails after so many events, and a client that comes back with the last id that it has seen.
async function fetched(url, init) {
  const encoder = new TextEncoder();
  let last = null, over = false, seen = 0;
  const open = async () => {
    const headers = { ...init.headers, ...asked.headers, ...(last === null ? {} : { "Last-Event-ID": last }) };
    const response = await plain(url, { ...init, headers });
    requests.push({ url: String(url), status: response.status, after: last });
    return response;
  };
  let response = await open();
  if (!response.ok) return response;
  const body = new ReadableStream({
    async pull(controller) {
      const most = cutAfter;
      try {
        for await (const frame of frames(response)) {
          const data = frame.split("\n").find((line) => line.startsWith("data:"));
          const id = frame.split("\n").find((line) => line.startsWith("id:"));
          if (data === undefined) continue;
          const event = JSON.parse(data.slice(5));
          if (comesBack && event.code === "stream_ended") break;
          runs.at(-1)?.raw.push({ ...event, id: id?.slice(4) });
          controller.enqueue(encoder.encode(`${frame}\n\n`));
          if (id !== undefined) last = id.slice(4);
          over ||= ["RUN_FINISHED", "RUN_ERROR"].includes(event.type);
          seen += 1;
          if (most !== null && seen >= most) {
            cutAfter = null;
            throw new TypeError("network error");
          }
        }
      } catch (error) {
        if (!comesBack) return controller.error(error);
      }
      if (over || !comesBack) return controller.close();
      for (;;) {
        try {
          response = await open();
          break;
        } catch {
          await new Promise((resolve) => { setTimeout(resolve, 100); });
        }
      }
      if (!response.ok) controller.error(new Error(`HTTP ${response.status}`));
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

// Of the versions, not all take a `fetch` of their own.
const plain = globalThis.fetch;
const agent = () => {
  const made = new HttpAgent({ url: asked.url, threadId: asked.thread, initialMessages: asked.messages, initialState: asked.state });
  const start = made.run;
  made.run = (input) => {
    globalThis.fetch = (url, init) => { globalThis.fetch = plain; return fetched(url, init); };
    return start.call(made, input);
  };
  return made;
};
let current = agent();

const until = async (check) => {
  while (!check()) await new Promise((resolve) => { setTimeout(resolve, 5); });
};

async function run({ text: content, id, runId, resume, tools, props, state } = {}) {
  const noted = { raw: [], error: null, interrupts: null, outcome: null, pending: null, began: null };
  runs.push(noted);
  if (content !== undefined) current.addMessage({ id: id ?? randomUUID(), role: "user", content });
  if (state !== undefined) current.setState(state);
  const subscriber = {
    onRunInitialized: ({ input }) => { noted.began = input.runId; },
    onRunFinishedEvent: ({ outcome, interrupts, pendingToolCallIds }) => Object.assign(noted, { outcome: outcome ?? "success", interrupts: interrupts ?? null, pending: pendingToolCallIds ?? null }),
    onRunErrorEvent: ({ event }) => { noted.outcome = "error"; noted.error = event.message; },
  };
  try {
    const done = await current.runAgent({ runId, tools, forwardedProps: props, ...(resume === undefined ? {} : { resume }) }, subscriber);
    noted.newMessages = done.newMessages.map((message) => message.id);
  } catch (error) {
    noted.error = error.message;
    noted.status = error.status;
    noted.payload = error.payload;
  }
}

const textOf = () => current.messages.filter(({ role }) => role === "assistant").map(({ content }) => content ?? "").join("");
let running;
const actions = {
  run,
  begin: async (options) => { running = run(options); },
  untilText: (characters) => until(() => textOf().length >= characters),
  ended: () => running,
  cut: async (events) => { cutAfter = events; },
  comeBack: async () => { comesBack = true; },
  abort: async () => { current.abortRun(); await running; },
  tell: async () => {},
  url: async (next) => { current.url = next; },
  reload: async (messages) => { current = agent(); current.messages = messages ?? current.messages; },
  answer: (payload, status = "resolved") => {
    const open = runs.at(-1).interrupts;
    return run({ resume: open.map(({ id }) => (status === "resolved" ? { interruptId: id, status, payload } : { interruptId: id, status })) });
  },
  result: (content, options) => {
    const calls = current.messages.flatMap((message) => message.toolCalls ?? []);
    const answered = new Set(current.messages.map(({ toolCallId }) => toolCallId));
    for (const call of calls.filter(({ id }) => !answered.has(id))) {
      current.addMessage({ id: randomUUID(), role: "tool", toolCallId: call.id, content });
    }
    return run(options);
  },
  again: (options) => {
    const at = current.messages.findLastIndex(({ role }) => role === "user");
    current.messages = current.messages.slice(0, at + 1);
    return run(options);
  },
};
for (const [name, ...values] of asked.actions) {
  await actions[name](...values);
  if (asked.tells) console.log(JSON.stringify({ did: name }));
}
process.stdout.write(`${JSON.stringify({ messages: current.messages, state: current.state, runs, requests })}\n`, () => process.exit(0));

// Runs streams of events through the stock package "@ag-ui/client": its schemas, its checks of the sequence, its fold.
// They come as one line of JSON on stdin; what each leads to goes out as one line.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const { packages, package: name, streams } = JSON.parse(await text(process.stdin));
// The oldest version cannot apply a JSON patch when Node imports it.
const load = createRequire(`${packages}/`);
const { AbstractAgent, transformHttpEventStream } = load(name);
const { from, asyncScheduler } = load("rxjs");
console.warn = console.error = () => {};

class Told extends AbstractAgent {
  constructor(events) { super({ threadId: "t" }); this.events = events; }

  run() {
    const frames = this.events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
    const headers = new Headers({ "content-type": "text/event-stream" });
    return transformHttpEventStream(from([{ type: "headers", status: 200, headers }, { type: "data", data: new TextEncoder().encode(frames) }], asyncScheduler));
  }
}

const found = [];
for (const events of streams) {
  const agent = new Told(events);
  let error = null;
  try {
    await agent.runAgent({ runId: "r" });
  } catch (failure) {
    error = String(failure.message ?? failure);
  }
  found.push({ messages: agent.messages, state: agent.state, error });
}
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));

// What the store costs with 10,000 steps and 100,000 tokens, in processor time, beside a page's own fold. Each round says:
//
//   startUs, tokenUs     one event: of a step that begins, of a token; with all listeners told, and the rows made,
//                        once in a hundred events
//   copyUs               one token in a fold that copies the list of steps, as reducers usually do
//   storeMb, jsonMb      the heap of the store with all listeners; of the same session as parsed JSON
//   openMs, parseMs      a store of a snapshot, with its rows; JSON.parse of it
//
// Run: npm run bench, or node --expose-gc bench/store.mjs [--rounds 5] [--steps 10000] [--tokens 100000] [--json].
// benchmarks/client_store.py of the repository makes rows of it.
import { parseArgs } from "node:util";
import { EMPTY, Store } from "../dist/index.js";
import { snapshotOf, stepOf, stream } from "../tests/documents.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "10000" },
    tokens: { type: "string", default: "100000" },
    json: { type: "boolean", default: false },
  },
});
const [ROUNDS, STEPS, TOKENS] = [options.rounds, options.steps, options.tokens].map(Number);
const A_FRAME = 100;
const COPIED_TOKENS = Math.min(TOKENS, 1_000);

const event = stream();
const starts = Array.from({ length: STEPS }, (_, n) => event("step.start", stepOf(`s${n}`, { parent_id: n % 10 ? `s${n - 1}` : null })));
const tokens = Array.from({ length: TOKENS }, (_, n) => event("step.delta", { id: `s${n % STEPS}`, field: "output", text: " token" }));

const heapMb = () => (globalThis.gc(), process.memoryUsage().heapUsed / 1e6);

/** Runs it and returns what it makes, and the milliseconds of processor time, with those of the garbage collector. */
function timed(run) {
  const start = process.cpuUsage();
  const made = run();
  const { user, system } = process.cpuUsage(start);
  return [made, (user + system) / 1e3];
}

/** Takes all events, and shows what they have changed once in so many. */
function shown(store, frames, events) {
  events.forEach((one, n) => {
    store.take(one);
    if (n % A_FRAME) return;
    frames.flush();
    store.rows();
  });
}

function copied(steps, { data: { id, field, text } }) {
  return steps.map((step) => (step.id === id ? { ...step, [field]: step[field] + text } : step));
}

function round() {
  const frames = { flush() {} };
  const heap = heapMb();
  const store = new Store(EMPTY, (flush) => (frames.flush = flush));
  let heard = 0;
  for (let n = 0; n < STEPS; n += 1) store.subscribe(`step:s${n}`, () => (heard += 1));
  store.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
  const [, startMs] = timed(() => shown(store, frames, starts));
  const rows = store.rows();
  const [, tokenMs] = timed(() => shown(store, frames, tokens));
  if (rows !== store.rows()) throw new Error("tokens have changed the rows");
  if (heard < Math.min(STEPS, TOKENS)) throw new Error(`listeners have heard ${heard} changes`);
  const storeMb = heapMb() - heap;

  const text = JSON.stringify(store.snapshot());
  const before = heapMb();
  const [parsed, parseMs] = timed(() => JSON.parse(text));
  const jsonMb = heapMb() - before;
  const [, openMs] = timed(() => new Store(parsed).rows());

  let steps = parsed.steps;
  const [, copyMs] = timed(() => tokens.slice(0, COPIED_TOKENS).forEach((one) => (steps = copied(steps, one))));
  if (steps[0].output !== `${parsed.steps[0].output} token`.padEnd(steps[0].output.length, " token")) throw new Error("the copying fold is wrong");
  return {
    startUs: (1e3 * startMs) / STEPS, tokenUs: (1e3 * tokenMs) / TOKENS, copyUs: (1e3 * copyMs) / COPIED_TOKENS,
    storeMb, jsonMb, openMs, parseMs,
  };
}

const rounds = Array.from({ length: ROUNDS }, round);
if (options.json) console.log(JSON.stringify(rounds));
else console.table(rounds.map((values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value.toPrecision(3))]))));

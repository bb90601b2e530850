// What the store costs with 10,000 steps and 100,000 tokens. Run: npm run bench
import { performance } from "node:perf_hooks";
import { EMPTY, replay, Store } from "../dist/index.js";
import { snapshotOf, stepOf, stream } from "../tests/documents.mjs";

const STEPS = 10_000;
const TOKENS = 100_000;
const TOKENS_A_FRAME = 100;

const mb = () => (globalThis.gc?.(), process.memoryUsage().heapUsed / 1e6);
const rows = [];

function measured(what, run) {
  const [heap, start] = [mb(), performance.now()];
  const result = run();
  rows.push({ what, ms: Math.round(performance.now() - start), "MB more": Math.round(mb() - heap) });
  return result;
}

let flush = null;
const frame = () => {
  const now = flush;
  flush = null;
  now?.();
};
const event = stream();
const steps = Array.from({ length: STEPS }, (_, n) => event("step.start", stepOf(`s${n}`, { parent_id: n % 10 ? `s${n - 1}` : null })));
const tokens = Array.from({ length: TOKENS }, (_, n) => event("step.delta", { id: `s${n % 3 ? 0 : n % STEPS}`, field: "output", text: " token" }));

const store = new Store(EMPTY, (listener) => (flush = listener));
let heard = 0;
for (let n = 0; n < STEPS; n += 1) store.subscribe(`step:s${n}`, () => (heard += 1));
store.take({ id: "1-0", type: "snapshot", data: snapshotOf() });
measured(`${STEPS} steps, with their rows every 100 events`, () => {
  steps.forEach((one, n) => (store.take(one), n % 100 || (frame(), store.rows())));
});
const before = store.rows();
measured(`${TOKENS} tokens, told in ${TOKENS / TOKENS_A_FRAME} frames`, () => {
  tokens.forEach((one, n) => (store.take(one), n % TOKENS_A_FRAME || (frame(), store.rows())));
});
if (before !== store.rows()) throw new Error("tokens have changed the rows");
measured("rows of all, once a step has changed", () => (store.take(event("step.update", stepOf("s5"))), store.rows()));
const view = measured("a snapshot of it", () => store.snapshot());
measured("another store of that snapshot", () => new Store(view).rows());
measured("the pure fold of all events, as a replay", () => replay(EMPTY, [...steps, ...tokens]));
console.table(rows);
console.log(`${heard} calls of listeners, ${(view.steps.reduce((sum, { output }) => sum + output.length, 0) / 1e6).toFixed(1)} MB of text`);

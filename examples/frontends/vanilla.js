// A page that starts a task and shows what it does. Without a framework: one element for each row, which
// listens to its own step, so a token costs the same with ten steps and with ten thousand.
import { Stepwire, viaSharedWorker } from "/client/dist/index.js";

const asked = new URLSearchParams(location.search);
const client = new Stepwire({ baseUrl: asked.get("gateway"), transport: viaSharedWorker() });
const session = (await client.create(location.hash.slice(1) || undefined)).open();
location.hash = session.id;
const { store } = session;

const [start, stop, state, tree] = ["start", "stop", "state", "tree"].map((id) => document.getElementById(id));
const lines = new Map();

function lineOf(id) {
  const line = document.createElement("li");
  const show = () => {
    const step = store.step(id);
    if (!step) return;
    line.dataset.status = step.status;
    line.textContent = step.output ? `${step.name}: ${step.output}` : step.name;
  };
  store.subscribe(`step:${id}`, show);
  show();
  return line;
}

store.subscribe("rows", () => {
  const rows = store.rows().filter(({ kind }) => kind === "step");
  for (const { id, depth } of rows) {
    if (!lines.has(id)) lines.set(id, lineOf(id));
    lines.get(id).style.paddingLeft = `${2 * depth}em`;
  }
  tree.replaceChildren(...rows.map(({ id }) => lines.get(id)));
});

const running = () => store.runs().filter(({ status, will_retry }) => status === "running" || will_retry);
const showState = () => {
  stop.disabled = running().length === 0;
  const { state: stream, error } = store.connection();
  state.textContent = error ? `${stream}: ${error.message}` : stream;
};
store.subscribe("runs", showState);
store.subscribe("connection", showState);

const say = (error) => (state.textContent = error.message);
start.onclick = () => session.run(asked.get("task") ?? "report", { pages: 3 }).catch(say);
stop.onclick = () => running().forEach(({ run_id }) => session.cancel(run_id).catch(say));

import { Problem, cancelRun } from "./api.js";
import { el } from "./dom.js";
import { duration, usage } from "./format.js";
import { ErrorBox, StatusMark, tag, usageTag } from "./outcome.js";

/** The line of one run: which handler, how far, and what becomes of it after an error. */
export class RunView {
  element = el("li", { class: "run" });

  #node;
  #tree;
  #status = new StatusMark();
  #handler = el("span", { class: "run-handler" });
  #facts = el("span", { class: "step-facts" });
  #time = el("span", { class: "step-time" });
  #stop = el("button", { type: "button", class: "stop" }, "Stop");
  #error = new ErrorBox();

  /** @param {import("./session.js").Node} node @param {import("./tree.js").Tree} tree */
  constructor(node, tree) {
    this.#node = node;
    this.#tree = tree;
    this.element.dataset.runId = node.id;
    const line = el("div", { class: "run-line" },
      this.#status.element, this.#handler, this.#facts, this.#stop, this.#time);
    this.element.append(line, this.#error.element);
    this.#stop.addEventListener("click", () => this.#cancel());
  }

  async #cancel() {
    this.#stop.disabled = true;
    try {
      await cancelRun(this.#tree.sid, this.#node.id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#error.show({ type: error.title, message: error.message });
      this.#stop.disabled = false;
    }
  }

  get running() {
    return this.#node.doc.status === "running";
  }

  get ticking() {
    return this.running;
  }

  update() {
    const { handler, status, attempt, will_retry, error, parent_run_id, usage: used } = this.#node.doc;
    this.element.dataset.status = status;
    // Sub-tasks of a run show as steps of their own; only a failure is news.
    this.element.hidden = parent_run_id != null && ["running", "ok"].includes(status);
    this.#status.show(status);
    this.#stop.hidden = !this.running;
    this.#stop.setAttribute("aria-label", `Stop ${handler}`);
    this.#handler.textContent = handler;
    const facts = [tag("run-status", status)];
    if (attempt > 1) facts.push(tag("tag attempt", `attempt ${attempt}`));
    if (will_retry) facts.push(tag("tag retry", "will retry"));
    const words = usage(used);
    if (words) facts.push(usageTag(words));
    this.#facts.replaceChildren(...facts);
    this.#error.show(error);
    this.tick(this.#tree.clock.now());
  }

  /** @param {number} nowMs the server's clock */
  tick(nowMs) {
    const { started_at, ended_at } = this.#node.doc;
    const text = duration(started_at, this.running ? null : ended_at ?? started_at, nowMs);
    if (this.#time.textContent !== text) this.#time.textContent = text;
  }

  dispose() {}
}

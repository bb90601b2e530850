import { AskView } from "./ask.js";
import { Content } from "./content.js";
import { el, icon, setIcon } from "./dom.js";
import { count, duration, gist, timeOfDay, usage } from "./format.js";
import { StatusMark, tag, usageTag } from "./outcome.js";
import { ProgressBar } from "./progress.js";
import { Rating } from "./rating.js";
import { ATTACHED_KINDS } from "./vocabulary.js";

const MESSAGES = new Set(["user_message", "assistant_message"]);
const TYPE_ICONS = new Set(["llm", "tool", "retrieval", "rerank", "embedding", "run"]);

let lastId = 0;

/** @param {{type: string}} step */
export const isMessage = (step) => MESSAGES.has(step.type);

/** One step or message: its line, what it took in and gave out, and the list of its children. */
export class StepView {
  element = el("li");
  list = el("ol", { class: "children" });

  #node;
  #tree;
  #message;
  #toggle = el("button", { type: "button", class: "step-toggle" });
  #icon = icon();
  #name = el("span", { class: "step-name" });
  #facts = el("span", { class: "step-facts" });
  #preview = el("span", { class: "step-preview" });
  #status = new StatusMark();
  #time = el("span", { class: "step-time" });
  #body = el("div", { class: "step-body" });
  /** Made when it is first to be seen: in a long session, most of it never is. */
  /** @type {Content | null} */
  #content = null;
  /** What most steps have nothing of. */
  /** @type {Map<string, AskView>} */
  #asks = new Map();
  /** @type {Rating | null} */
  #rating = null;
  /** @type {ProgressBar | null} */
  #progress = null;
  #open = true;

  /**
   * @param {import("./session.js").Node} node
   * @param {import("./tree.js").Tree} tree whose clock it shows and whose reader's choices it keeps
   */
  constructor(node, tree) {
    this.#node = node;
    this.#tree = tree;
    this.#message = isMessage(node.doc);
    this.element.dataset.stepId = node.id;
    this.element.className = this.#message ? "message" : "step";
    if (this.#message) this.#buildMessage();
    else this.#buildStep(tree.opensAtFirst(node));
  }

  #buildMessage() {
    this.#content = new Content(this.#node, this.#body);
    const head = el("div", { class: "message-head" },
      this.#icon, this.#name, this.#facts, this.#status.element, this.#time);
    this.element.append(el("div", { class: "message-card" }, head, this.#body), this.list);
  }

  /** @param {boolean} open */
  #buildStep(open) {
    this.#toggle.append(
      el("span", { class: "step-icon" }, this.#icon),
      this.#name, this.#facts, this.#preview, this.#status.element, this.#time);
    this.#body.id = `step-body-${++lastId}`;
    this.#body.append(this.list);
    this.#toggle.setAttribute("aria-controls", this.#body.id);
    this.#toggle.addEventListener("click", () => this.#tree.choose(this, !this.#open));
    this.element.append(this.#toggle, this.#body);
    this.setOpen(open);
  }

  get id() {
    return this.#node.id;
  }

  get running() {
    return this.#node.doc.status === "running";
  }

  /** Whether something on it changes by itself as time goes. */
  get ticking() {
    return this.running || [...this.#asks.values()].some(({ open }) => open);
  }

  /** @param {boolean} open messages are always open */
  setOpen(open) {
    if (this.#message) return;
    this.#open = open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    this.#body.hidden = !open;
    if (open && !this.#content) {
      this.#content = new Content(this.#node, this.#body);
      this.#content.update();
    }
    this.#showPreview();
  }

  /** Shows what stands with it, by its kind: there is one for each. @type {Record<string, () => void>} */
  #shows = {
    element: () => this.#content?.update(),
    ask: () => this.#showAsks(),
    feedback: () => this.#showRating(),
  };

  /** Shows what the document says, but for its texts: they come through `write`. */
  update() {
    const step = this.#node.doc;
    const justEnded = !this.running && this.element.dataset.status === "running";
    this.element.dataset.status = step.status;
    this.element.dataset.type = step.type;
    this.#name.textContent = step.name || step.type;
    setIcon(this.#icon, iconOf(step));
    this.#status.show(step.status);
    this.#showFacts(step);
    this.#showProgress(step);
    for (const { name } of ATTACHED_KINDS) this.#shows[name]();
    if (justEnded && step.auto_collapse) this.#tree.collapseByItself(this);
    this.#showPreview();
    this.tick(this.#tree.clock.now());
  }

  /** Shows what has changed on the page, not in the session, about its asks. */
  updateAsks() {
    for (const view of this.#asks.values()) view.update();
  }

  #showAsks() {
    for (const [id, ask] of this.#node.attached.ask) {
      let view = this.#asks.get(id);
      if (!view) {
        view = new AskView(ask, this.#tree);
        this.#asks.set(id, view);
        // Of a step, the body holds its children too: they come last.
        this.#body.insertBefore(view.element, this.#message ? null : this.list);
      }
      view.show(ask);
    }
  }

  /** A message has it on its line; that of a step is a button, which cannot hold others. */
  #showRating() {
    if (!this.#rating) {
      const rating = new Rating(this.#node, this.#tree);
      if (!rating.shown) return;
      this.#rating = rating;
      if (this.#message) this.#status.element.before(rating.element);
      else this.#body.insertBefore(rating.element, this.list);
    }
    this.#rating.update();
  }

  /** @param {"input" | "output"} field @param {boolean} replaced */
  write(field, replaced) {
    this.#content?.write(field, replaced);
    this.#showPreview();
  }

  /** Scrolls along with what has been appended in this frame. */
  follow() {
    this.#content?.follow();
  }

  /** @param {number} nowMs the server's clock */
  tick(nowMs) {
    const { started_at, ended_at, status } = this.#node.doc;
    const text = this.#message && status === "ok"
      ? timeOfDay(started_at)
      : duration(started_at, this.running ? null : ended_at ?? started_at, nowMs);
    if (this.#time.textContent !== text) this.#time.textContent = text;
    for (const view of this.#asks.values()) view.tick(nowMs);
  }

  dispose() {
    this.#content?.dispose();
  }

  /** Below the line, and seen while the step is folded: what is in a button is not read out. */
  #showProgress(step) {
    if (!this.#progress) {
      if (!step.progress) return;
      this.#progress = new ProgressBar();
      this.#toggle.after(this.#progress.element);
    }
    this.#progress.show(step);
  }

  #showFacts({ type, attempt, tags, from_attempt, usage: used }) {
    const facts = (tags ?? []).map((name) => tag("tag", String(name)));
    const words = usage(used);
    if (words) facts.push(usageTag(words, used.model));
    if (from_attempt) facts.unshift(tag("tag reused", `result of attempt ${from_attempt}`));
    if (attempt > 1) facts.unshift(tag("tag attempt", `attempt ${attempt}`));
    if (!this.#message && type !== "undefined") facts.unshift(tag("type", type));
    const rated = this.#message ? undefined : this.#node.attached.feedback.get(this.#node.id)?.value;
    if (rated !== undefined) {
      const word = rated ? "good" : "poor";
      const mark = el("span", { class: "rated", title: `rated ${word}` }, icon(word));
      mark.append(el("span", { class: "visually-hidden" }, `rated ${word}`));
      facts.push(mark);
    }
    this.#facts.replaceChildren(...facts);
  }

  /** The preview of a closed step, on its line. */
  #showPreview() {
    if (this.#open) return;
    const { output, error } = this.#node.doc;
    const children = this.#node.children.length;
    const line = gist(error ? error.message : output);
    this.#preview.textContent = line || (children ? count(children, "step") : "");
  }
}

/** @param {import("./session.js").Step} step */
function iconOf({ type, icon: wanted }) {
  if (MESSAGES.has(type)) return type;
  return [wanted, type].find((name) => TYPE_ICONS.has(name)) ?? "undefined";
}

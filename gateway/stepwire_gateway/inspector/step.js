import { el, icon, setIcon } from "./dom.js";
import { Field } from "./field.js";
import { count, duration, timeOfDay } from "./format.js";
import { ErrorBox, StatusMark, tag } from "./outcome.js";

const MESSAGES = new Set(["user_message", "assistant_message"]);
const TYPE_ICONS = new Set(["llm", "tool", "retrieval", "rerank", "embedding", "run"]);
const PREVIEW_CHARS = 160;

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
  #output = new Field("output", () => this.#node.doc.output);
  #error = new ErrorBox();
  /** Made when there is something to show: most steps have neither. */
  /** @type {{fold: HTMLDetailsElement, field: Field} | null} */
  #input = null;
  /** @type {{fold: HTMLDetailsElement, text: HTMLElement} | null} */
  #metadata = null;
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
    this.#body.append(this.#output.element, this.#error.element);
    if (this.#message) this.#buildMessage();
    else this.#buildStep(tree.opensAtFirst(node));
  }

  #buildMessage() {
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

  /** @param {boolean} open messages are always open */
  setOpen(open) {
    if (this.#message) return;
    this.#open = open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    this.#body.hidden = !open;
    this.#showPreview();
  }

  /** Shows what the document says, but for its texts: they come through `write`. */
  update() {
    const step = this.#node.doc;
    const justEnded = !this.running && this.element.dataset.status === "running";
    this.element.dataset.status = step.status;
    this.element.dataset.type = step.type;
    this.#name.textContent = step.name || step.type;
    setIcon(this.#icon, iconOf(step));
    this.#status.show(step.status);
    this.#error.show(step.error);
    this.#showFacts(step);
    this.#showMetadata(step.metadata ?? {});
    this.#output.showAs(step.language, !this.running);
    this.#showInput(step);
    if (justEnded && step.auto_collapse) this.#tree.collapseByItself(this);
    this.#showPreview();
    this.tick(this.#tree.clock.now());
  }

  /** @param {"input" | "output"} field @param {string} text @param {boolean} replace */
  write(field, text, replace) {
    if (field === "output") this.#output.write(text, replace);
    else this.#inputParts().field.write(text, replace);
    this.#showPreview();
  }

  /** Scrolls along with what has been appended in this frame. */
  follow() {
    this.#output.follow();
    this.#input?.field.follow();
  }

  /** @param {number} nowMs the server's clock */
  tick(nowMs) {
    const { started_at, ended_at, status } = this.#node.doc;
    const text = this.#message && status === "ok"
      ? timeOfDay(started_at)
      : duration(started_at, this.running ? null : ended_at ?? started_at, nowMs);
    if (this.#time.textContent !== text) this.#time.textContent = text;
  }

  dispose() {
    this.#output.dispose();
    this.#input?.field.dispose();
  }

  #showFacts({ type, attempt, tags }) {
    const facts = (tags ?? []).map((name) => tag("tag", String(name)));
    if (attempt > 1) facts.unshift(tag("tag attempt", `attempt ${attempt}`));
    if (!this.#message && type !== "undefined") facts.unshift(tag("type", type));
    this.#facts.replaceChildren(...facts);
  }

  #inputParts() {
    if (!this.#input) {
      const field = new Field("input", () => this.#node.doc.input);
      const fold = el("details", {}, el("summary", {}, "Input"), field.element);
      fold.open = Boolean(this.#node.doc.show_input);
      this.#body.prepend(fold);
      this.#input = { fold, field };
    }
    return this.#input;
  }

  #showInput({ input, show_input }) {
    if (!this.#input) return;
    const language = typeof show_input === "string" && show_input !== "text" ? show_input : null;
    this.#input.field.showAs(language, !this.running);
    this.#input.fold.hidden = input === "";
  }

  #showMetadata(metadata) {
    const empty = Object.keys(metadata).length === 0;
    if (!this.#metadata && !empty) {
      const text = el("pre", { class: "text" });
      const fold = el("details", {}, el("summary", {}, "Metadata"), text);
      this.#error.element.after(fold);
      this.#metadata = { fold, text };
    }
    if (!this.#metadata) return;
    this.#metadata.fold.hidden = empty;
    this.#metadata.text.textContent = JSON.stringify(metadata, null, 2);
  }

  /** What a closed step is about, on its line. */
  #showPreview() {
    if (this.#open) return;
    const { output, error } = this.#node.doc;
    const children = this.#node.children.length;
    const line = error ? error.message : output.slice(0, PREVIEW_CHARS).replace(/\s+/g, " ");
    this.#preview.textContent = line || (children ? count(children, "step") : "");
  }
}

/** @param {import("./session.js").Step} step */
function iconOf({ type, icon: wanted }) {
  if (MESSAGES.has(type)) return type;
  return [wanted, type].find((name) => TYPE_ICONS.has(name)) ?? "undefined";
}

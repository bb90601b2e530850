import { answerAsk, Problem } from "./api.js";
import { el, icon, setIcon } from "./dom.js";
import { pickWith } from "./files.js";
import { newId } from "./ids.js";
import { misfit, outcome, timeLeft, tooLate, wanted } from "./question.js";

const ENDED_ICONS = { answered: "ok", timeout: "clock", cancelled: "cancelled", interrupted: "interrupted" };

/** A handler's question: while it is open, the means to answer; then how it ended. */
export class AskView {
  element = el("div", { class: "ask", role: "group", "aria-label": "Question" });

  #ask;
  #tree;
  #line = el("p", { class: "ask-line" });
  #mark = icon();
  #words = el("span", {});
  /** `timer`: not read out as it counts. */
  #timeLeft = el("span", { class: "ask-time", role: "timer" });
  #problem = el("p", { class: "problem", role: "alert" });
  /** @type {{update(): void}} */
  #means;
  #busy = false;
  #isLate = false;
  /** The answer that was sent: a repetition has the same id, so it is taken once. */
  #sent = { key: "", id: "" };

  /** @param {import("./session.js").Ask} ask @param {import("./tree.js").Tree} tree */
  constructor(ask, tree) {
    this.#ask = ask;
    this.#tree = tree;
    this.element.dataset.askId = ask.id;
    this.element.dataset.kind = ask.kind;
    this.#line.append(this.#mark, this.#words, this.#timeLeft);
    this.#problem.hidden = true;
    this.element.append(this.#line, this.#problem);
    this.#means = { text: () => new TextMeans(this), action: () => new ActionMeans(this),
      file: () => new FileMeans(this) }[ask.kind]?.() ?? { update() {} };
  }

  get ask() {
    return this.#ask;
  }

  get tree() {
    return this.#tree;
  }

  get open() {
    return this.#ask.status === "open";
  }

  get busy() {
    return this.#busy;
  }

  /** @param {import("./session.js").Ask} ask */
  show(ask) {
    this.#ask = ask;
    this.update();
  }

  update() {
    const { status, kind } = this.#ask;
    this.element.dataset.status = status;
    setIcon(this.#mark, this.open ? "ask" : ENDED_ICONS[status] ?? "undefined");
    this.#words.textContent = this.open ? this.#request(kind) : outcome(this.#ask);
    this.#timeLeft.hidden = !this.open;
    if (this.#isLate) this.complain(tooLate(status));
    this.#means.update();
    this.tick(this.#tree.clock.now());
  }

  /** @param {number} nowMs the server's clock */
  tick(nowMs) {
    if (!this.open) return;
    const text = timeLeft(this.#ask.expires_at, nowMs);
    if (this.#timeLeft.textContent !== text) this.#timeLeft.textContent = text;
  }

  /** @param {string} words without any, nothing is wrong */
  complain(words) {
    this.#problem.hidden = words === "";
    if (this.#problem.textContent !== words) this.#problem.textContent = words;
  }

  /** @param {Element} means stands between the question and the error */
  place(means) {
    this.#problem.before(means);
  }

  /**
   * @param {() => Promise<{action: string} | {files: string[]}>} answer
   * @returns {Promise<boolean>} whether it was taken
   */
  async send(answer) {
    if (this.#busy || !this.open) return false;
    this.#busy = true;
    this.complain("");
    this.update();
    try {
      const body = await answer();
      const key = JSON.stringify(body);
      if (this.#sent.key !== key) this.#sent = { key, id: newId() };
      await answerAsk(this.#tree.sid, this.#ask.id, { id: this.#sent.id, ...body });
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#isLate = error.code === "ask_ended";
      this.complain(this.#isLate ? tooLate(this.#ask.status) : `Not sent. ${error.message}`);
      return false;
    } finally {
      this.#busy = false;
      this.update();
    }
  }

  #request(kind) {
    if (kind === "file") return wanted(this.#ask);
    if (kind === "action") return "Choose one";
    return this.#tree.answering === this.#ask.id ? "Answer in the box below" : "Waits for an answer";
  }
}

/** A text is written into the box below; of several questions, a button says which it answers. */
class TextMeans {
  #view;
  #button = el("button", { type: "button" }, "Answer");

  /** @param {AskView} view */
  constructor(view) {
    this.#view = view;
    this.#button.addEventListener("click", () => view.tree.answer(view.ask));
    view.place(this.#button);
  }

  update() {
    this.#button.hidden = !this.#view.open || this.#view.tree.answering === this.#view.ask.id;
  }
}

/** A button for each action; in the end they show which was chosen. */
class ActionMeans {
  #view;
  /** @type {Map<string, HTMLButtonElement>} */
  #buttons = new Map();

  /** @param {AskView} view */
  constructor(view) {
    this.#view = view;
    const list = el("div", { class: "choices" });
    for (const { id, label, name, tooltip } of view.ask.actions) {
      const button = el("button", { type: "button", class: "choice" }, label || name);
      if (tooltip) button.title = tooltip;
      button.addEventListener("click", () => view.send(async () => ({ action: id })));
      this.#buttons.set(id, button);
      list.append(button);
    }
    view.place(list);
  }

  update() {
    const chosen = this.#view.ask.answer?.action_id;
    for (const [id, button] of this.#buttons) {
      button.disabled = !this.#view.open || this.#view.busy;
      if (id !== chosen || button.dataset.chosen) continue;
      button.dataset.chosen = "true";
      button.prepend(icon("ok"));
      button.append(el("span", { class: "visually-hidden" }, " (chosen)"));
    }
  }
}

/** Files are chosen or dropped, looked at, and sent. */
class FileMeans {
  #view;
  #files;
  #choose = el("button", { type: "button" }, icon("attach"), "Choose files…");
  #send = el("button", { type: "button", class: "primary" }, "Send");
  #row = el("div", { class: "ask-files" });
  #complaint = "";

  /** @param {AskView} view */
  constructor(view) {
    this.#view = view;
    const { ask, tree } = view;
    this.#files = tree.filesFor(ask.id);
    const input = el("input", { type: "file", accept: ask.accept.join(","), hidden: "" });
    input.multiple = ask.max_files !== 1;
    pickWith(this.#choose, input, (files) => this.#files.add(files));
    this.#send.addEventListener("click", () => this.#answer());
    this.#row.append(this.#files.element,
      el("div", { class: "choices" }, this.#choose, input, this.#send));
    view.place(this.#row);
  }

  update() {
    const { open, busy, ask } = this.#view;
    const files = this.#files.chosen;
    this.#row.hidden = !open;
    if (!open) return;
    const problem = misfit(ask, files);
    // One that was there may be what the gateway said: it goes when the files change.
    if (problem || this.#complaint) this.#view.complain(problem);
    this.#complaint = problem;
    this.#files.settle(busy);
    this.#choose.disabled = busy;
    this.#send.hidden = files.length === 0;
    this.#send.disabled = busy || problem !== "";
    this.#send.textContent = busy ? "Sending…" : "Send";
  }

  async #answer() {
    const { tree } = this.#view;
    const files = this.#files.chosen;
    const taken = await this.#view.send(
      async () => ({ files: await this.#files.upload(tree.sid, files) }));
    if (taken) this.#files.remove(files);
  }
}

import { answerAsk, Problem, sendMessage } from "./api.js";
import { Files, filesOf, pickWith } from "./files.js";
import { gist } from "./format.js";
import { newId } from "./ids.js";
import { outcome, tooLate } from "./question.js";

/**
 * Something to send: the answer to an ask, or, without an ask, a message.
 * @typedef {{askId: string | null, content: string, files: File[]}} Draft
 */

/**
 * The box to write in: messages, with files, and answers to questions for a text. Text that was not
 * accepted stays in it.
 *
 * A question takes the box over only while it is empty, and leaves it only then: what a person
 * has begun to write for one must not go to the other because something happened meanwhile.
 */
export class Composer {
  #form;
  #textarea;
  #button;
  #attach;
  #problem;
  #bar;
  #files = new Files(() => this.#changed());
  #sid;
  #session;
  #listener;
  /** @type {import("./session.js").Ask | null} */
  #target = null;
  /** Questions that the reader does not want to answer here. @type {Set<string>} */
  #declined = new Set();
  /**
   * The message that was sent, accepted or not: a repetition has the same id, so it
   * is taken once.
   * @type {(Draft & {id: string}) | null}
   */
  #unconfirmed = null;
  #busy = false;

  /**
   * @param {HTMLFormElement} form
   * @param {string} sid
   * @param {import("./session.js").Session} session
   * @param {{onSent(): void, onTarget(askId: string | null): void}} listener
   */
  constructor(form, sid, session, listener) {
    this.#form = form;
    this.#sid = sid;
    this.#session = session;
    this.#listener = listener;
    this.#textarea = form.querySelector("textarea");
    this.#button = form.querySelector("[type=submit]");
    this.#attach = form.querySelector("#attach");
    this.#problem = form.querySelector(".problem");
    this.#bar = form.querySelector(".composer-target");
    form.querySelector(".composer-row").before(this.#files.element);
    pickWith(this.#attach, form.querySelector("[type=file]"), (files) => this.attach(files));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#bar.querySelector("button").addEventListener("click", () => this.#decline());
    this.#listenToText();
    this.#settle();
  }

  #listenToText() {
    this.#textarea.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
      event.preventDefault();
      this.#send();
    });
    this.#textarea.addEventListener("input", () => this.#changed());
    this.#textarea.addEventListener("paste", (event) => {
      const files = filesOf(event.clipboardData);
      if (files.length === 0) return;
      event.preventDefault();
      this.attach(files);
    });
  }

  focus() {
    this.#textarea.focus();
  }

  /** @param {File[]} files */
  attach(files) {
    if (files.length === 0) return;
    if (this.#target) {
      this.#complain("This question is answered with a text. To send files, write a message instead.");
      return;
    }
    this.#complain("");
    this.#files.add(files);
    this.focus();
  }

  /** The next text answers this question. @param {import("./session.js").Ask} ask */
  answer(ask) {
    this.#declined.delete(ask.id);
    this.#aim(ask);
    this.focus();
  }

  /** The session's asks may have changed. */
  refresh() {
    const target = this.#target && (this.#session.asks.get(this.#target.id) ?? null);
    const isOver = target?.status !== "open";
    if (this.#target && !isOver) return this.#aim(target);
    if (this.#target && (this.#busy || !this.#empty)) {
      return this.#aim(target ?? { ...this.#target, status: "cancelled" });
    }
    const open = [...this.#session.asks.values()].filter(
      ({ id, kind, status }) => kind === "text" && status === "open" && !this.#declined.has(id));
    this.#aim(this.#empty ? open.at(-1) ?? null : null);
  }

  get #empty() {
    return this.#textarea.value.trim() === "" && this.#files.chosen.length === 0;
  }

  #decline() {
    this.#declined.add(this.#target.id);
    this.#complain("");
    this.#aim(null);
    this.focus();
  }

  /** @param {import("./session.js").Ask | null} ask */
  #aim(ask) {
    const changed = ask?.id !== this.#target?.id;
    this.#target = ask;
    this.#showTarget();
    this.#settle();
    if (changed) this.#listener.onTarget(ask?.id ?? null);
  }

  #showTarget() {
    const ask = this.#target;
    this.#bar.hidden = !ask;
    this.#bar.classList.toggle("over", Boolean(ask) && ask.status !== "open");
    this.#textarea.placeholder = ask ? "Write your answer…" : "Send a message…";
    this.#textarea.setAttribute("aria-label", ask ? "Your answer" : "Message");
    this.#button.textContent = ask ? "Answer" : "Send";
    if (!ask) return;
    const question = gist(this.#session.steps.get(ask.step_id)?.doc.output ?? "");
    const [how, what] = this.#bar.querySelectorAll("span");
    how.textContent = ask.status === "open" ? "Answering" : `${outcome(ask)}:`;
    what.textContent = question || "a question";
  }

  async #send() {
    const content = this.#textarea.value;
    if (this.#busy || !this.#sendable) return;
    /** @type {Draft} */
    const draft = { askId: this.#target?.id ?? null, content, files: this.#target ? [] : this.#files.chosen };
    this.#busy = true;
    this.#settle();
    try {
      await (draft.askId === null ? this.#sendMessage(draft) : this.#sendAnswer(draft));
      this.#unconfirmed = null;
      // The reader may have written on while it was under way.
      if (this.#textarea.value === content) this.#textarea.value = "";
      this.#files.remove(draft.files);
      this.#complain("");
      this.#listener.onSent();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status >= 400 && error.status < 500) this.#unconfirmed = null;
      this.#complain(error.code === "ask_ended"
        ? tooLate(this.#session.asks.get(draft.askId)?.status ?? "open")
        : `Not sent. ${error.message} Press Enter to try again.`);
    } finally {
      this.#busy = false;
      this.refresh();
    }
  }

  /** @param {Draft} draft */
  async #sendMessage(draft) {
    // The earlier one may have been accepted after all, and then has the files.
    if (this.#unconfirmed && !isSame(this.#unconfirmed, draft)) this.#files.forget();
    const elements = await this.#files.upload(this.#sid, draft.files);
    await sendMessage(this.#sid, { id: this.#idOf(draft), content: draft.content, elements });
  }

  /** @param {Draft} draft */
  async #sendAnswer(draft) {
    await answerAsk(this.#sid, draft.askId, { id: this.#idOf(draft), content: draft.content });
  }

  /** @param {Draft} draft */
  #idOf(draft) {
    if (!this.#unconfirmed || !isSame(this.#unconfirmed, draft)) {
      this.#unconfirmed = { ...draft, id: newId() };
    }
    return this.#unconfirmed.id;
  }

  /** @param {string} words without any, nothing is wrong */
  #complain(words) {
    this.#problem.hidden = words === "";
    this.#problem.textContent = words;
  }

  /** The reader has changed what is to be sent. */
  #changed() {
    if (this.#empty) this.refresh();
    else this.#settle();
  }

  get #sendable() {
    const hasText = this.#textarea.value.trim() !== "";
    return this.#target ? hasText && this.#target.status === "open" : !this.#empty;
  }

  #settle() {
    this.#form.dataset.busy = String(this.#busy);
    this.#button.disabled = this.#busy || !this.#sendable;
    this.#attach.hidden = Boolean(this.#target);
    this.#files.settle(this.#busy);
    this.#textarea.style.height = "auto";
    this.#textarea.style.height = `${this.#textarea.scrollHeight}px`;
  }
}

/**
 * While a word is being composed (Japanese, Chinese, …), Enter belongs to the input method. Safari
 * ends the composition before the key that ended it: only the old code (UI Events, 7.3.1) tells.
 *
 * @param {KeyboardEvent} event
 */
const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** @param {Draft} a @param {Draft} b */
function isSame(a, b) {
  return a.askId === b.askId && a.content === b.content && a.files.length === b.files.length &&
    a.files.every((file, at) => file === b.files[at]);
}

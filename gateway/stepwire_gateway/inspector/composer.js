import { Problem, sendMessage } from "./api.js";

/** The box to write in. What was not accepted stays in it. */
export class Composer {
  #form;
  #textarea;
  #button;
  #problem;
  #sid;
  #onSent;
  /**
   * What is being sent: the same again carries the same id, so it is taken once.
   * @type {{id: string, content: string} | null}
   */
  #message = null;
  #busy = false;

  /** @param {HTMLFormElement} form @param {string} sid @param {() => void} onSent */
  constructor(form, sid, onSent) {
    this.#form = form;
    this.#sid = sid;
    this.#onSent = onSent;
    this.#textarea = form.querySelector("textarea");
    this.#button = form.querySelector("button");
    this.#problem = form.querySelector(".problem");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#textarea.addEventListener("keydown", (event) => {
      // While a word is being composed (Japanese, Chinese, …), Enter belongs to the input method.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.#textarea.addEventListener("input", () => this.#settle());
    this.#settle();
  }

  focus() {
    this.#textarea.focus();
  }

  async #send() {
    const content = this.#textarea.value;
    if (this.#busy || content.trim() === "") return;
    if (this.#message?.content !== content) this.#message = { id: newId(), content };
    this.#busy = true;
    this.#settle();
    try {
      await sendMessage(this.#sid, this.#message);
      this.#message = null;
      // The reader may have written on while it was under way.
      if (this.#textarea.value === content) this.#textarea.value = "";
      this.#show(null);
      this.#onSent();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#show(error);
    } finally {
      this.#busy = false;
      this.#settle();
    }
  }

  /** @param {Problem | null} problem */
  #show(problem) {
    this.#problem.hidden = !problem;
    this.#problem.textContent =
      problem ? `Not sent. ${problem.message} Press Enter to try again.` : "";
  }

  #settle() {
    this.#form.dataset.busy = String(this.#busy);
    this.#button.disabled = this.#busy || this.#textarea.value.trim() === "";
    this.#textarea.style.height = "auto";
    this.#textarea.style.height = `${this.#textarea.scrollHeight}px`;
  }
}

/** `randomUUID` is there only in secure contexts: not over plain http from another machine. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

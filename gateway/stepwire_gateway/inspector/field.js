import { copyButton, el } from "./dom.js";
import { highlight } from "./highlight.js";
import { StreamedText } from "./text.js";

/** A box whose end is nearer than this is being followed. */
const FOLLOW_PX = 24;

/** A text of a step: code or prose, in a box that follows its own end while it grows. */
export class Field {
  element = el("div", { class: "field" });
  #name;
  #box;
  #text;
  #source;
  /** @type {string | null} */
  #language = null;
  #label = el("span", { class: "language" });
  #hasTools = false;
  #following = true;
  /** A whole text is read from its start; only a growing one is followed to its end. */
  #growing = false;
  #dropColours = () => {};

  /** @param {"input" | "output"} name @param {() => string} source the text as it is now */
  constructor(name, source) {
    this.#name = name;
    this.#source = source;
    this.#box = el("div", { class: `text step-${name}` });
    this.#text = new StreamedText(this.#box);
    this.element.append(this.#box);
    this.element.hidden = true;
    this.#box.addEventListener("scroll", () => this.#look(), { passive: true });
  }

  /**
   * Shows what has been added to the text; called twice, it changes nothing.
   *
   * @param {boolean} replaced what was shown is no longer how the text begins
   */
  write(replaced) {
    const text = this.#source();
    if (replaced) {
      this.#dropColours();
      this.#text.replace(text);
    } else if (text.length > this.#text.length) {
      this.#growing = this.#text.length > 0;
      this.#text.append(text.slice(this.#text.length));
    }
    this.element.hidden = text === "";
    if (!this.element.hidden) this.#addTools();
  }

  /** Apart from `write`: to scroll needs a layout, and one a frame is enough for all steps. */
  follow() {
    if (this.#growing && this.#following) this.#box.scrollTop = this.#box.scrollHeight;
  }

  /** @param {string | null} language @param {boolean} complete nothing more is streamed into it */
  showAs(language, complete) {
    if (language !== this.#language) {
      this.#language = language;
      this.element.classList.toggle("code", Boolean(language));
      this.#label.textContent = language ?? "";
    }
    this.#dropColours();
    if (complete && language) {
      this.#dropColours = highlight(this.#text.nodes, language.toLowerCase());
    }
  }

  dispose() {
    this.#dropColours();
  }

  #addTools() {
    if (this.#hasTools) return;
    this.#hasTools = true;
    const button = copyButton(this.#source, `Copy the ${this.#name}`);
    this.element.prepend(el("div", { class: "field-tools" }, this.#label, button));
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box;
    this.#following = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
  }
}

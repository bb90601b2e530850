import { el } from "./dom.js";

/**
 * How much one block holds. A browser lays out a block of text as a whole for each token that is
 * appended to it, so the cost of a token must not grow with what came before.
 */
const BLOCK_CHARS = 4096;

/** Text that grows at its end, inside `element`. */
export class StreamedText {
  length = 0;
  #element;
  /** @type {Text | null} */
  #tail = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  replace(text) {
    this.#element.replaceChildren();
    this.#tail = null;
    this.length = 0;
    this.append(text);
  }

  /** @param {string} text */
  append(text) {
    this.length += text.length;
    let from = 0;
    while (from < text.length) {
      this.#tail ??= this.#addBlock();
      const room = Math.max(0, BLOCK_CHARS - this.#tail.length);
      // Blocks break only where a line does, or a break would show that is not in the text.
      const newline = text.indexOf("\n", from + room);
      const to = newline < 0 ? text.length : newline + 1;
      this.#tail.appendData(text.slice(from, to));
      if (newline >= 0) this.#tail = null;
      from = to;
    }
  }

  /** @returns {Text[]} */
  get nodes() {
    return [...this.#element.children].map((block) => /** @type {Text} */ (block.firstChild));
  }

  #addBlock() {
    const text = document.createTextNode("");
    const block = el("span", { class: "block" });
    block.append(text);
    this.#element.append(block);
    return text;
  }
}

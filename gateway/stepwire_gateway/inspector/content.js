import { Attachments } from "./attachments.js";
import { el } from "./dom.js";
import { Field } from "./field.js";
import { Fold } from "./fold.js";
import { gist } from "./format.js";
import { ErrorBox } from "./outcome.js";

/** The input, the output and the error of a step: the texts of its body. */
export class Content {
  #node;
  #body;
  #output = new Field("output", () => this.#node.doc.output);
  #error = new ErrorBox();
  #attachments = new Attachments();
  /** Made when there is something to show: most steps have neither. */
  /** @type {{fold: Fold, field: Field} | null} */
  #input = null;
  /** @type {{fold: Fold, pre: HTMLElement} | null} */
  #metadata = null;

  /** @param {import("./session.js").Node} node @param {HTMLElement} body */
  constructor(node, body) {
    this.#node = node;
    this.#body = body;
    body.prepend(this.#output.element, this.#error.element, this.#attachments.element);
    this.write("input", true);
    this.write("output", true);
  }

  /** Shows what the document says, but for its texts: they come through `write`. */
  update() {
    const { error, language, status, input, output, show_input, metadata } = this.#node.doc;
    const complete = status !== "running";
    // A message that says what went wrong has said it already.
    this.#error.show(error && error.message === output ? { ...error, message: "" } : error);
    this.#output.showAs(language, complete);
    if (this.#input) {
      const shownAs = typeof show_input === "string" && show_input !== "text" ? show_input : null;
      this.#input.field.showAs(shownAs, complete);
      this.#input.fold.show(gist(input));
    }
    this.#showMetadata(metadata ?? {});
    this.#attachments.show(this.#node.attached.element);
  }

  /** @param {"input" | "output"} field @param {boolean} replaced */
  write(field, replaced) {
    if (field === "output") this.#output.write(replaced);
    else if (this.#input || this.#node.doc.input) this.#inputField().write(replaced);
  }

  /** Scrolls along with what has been appended in this frame. */
  follow() {
    this.#output.follow();
    this.#input?.field.follow();
  }

  dispose() {
    this.#output.dispose();
    this.#input?.field.dispose();
  }

  #inputField() {
    if (!this.#input) {
      const field = new Field("input", () => this.#node.doc.input);
      const fold = new Fold("Input", field.element);
      fold.element.open = Boolean(this.#node.doc.show_input);
      this.#body.prepend(fold.element);
      this.#input = { fold, field };
    }
    return this.#input.field;
  }

  #showMetadata(metadata) {
    const empty = Object.keys(metadata).length === 0;
    if (!this.#metadata && !empty) {
      const pre = el("pre", { class: "text" });
      const fold = new Fold("Metadata", pre);
      this.#error.element.after(fold.element);
      this.#metadata = { fold, pre };
    }
    if (!this.#metadata) return;
    const text = JSON.stringify(metadata, null, 2);
    this.#metadata.fold.show(empty ? "" : gist(text));
    this.#metadata.pre.textContent = text;
  }
}

import { Problem, rateStep } from "./api.js";
import { el, icon } from "./dom.js";

/** Thumbs up and down; the one that is pressed takes the rating back. */
export class Rating {
  element = el("span", { class: "rating", role: "group", "aria-label": "Feedback" });
  #node;
  #tree;
  #problem = el("span", { class: "problem", role: "alert" });
  #comment = el("span", { class: "rating-comment" });
  /** @type {Map<0 | 1, HTMLButtonElement>} */
  #thumbs = new Map();
  #busy = false;

  /** @param {import("./session.js").Node} node @param {import("./tree.js").Tree} tree */
  constructor(node, tree) {
    this.#node = node;
    this.#tree = tree;
    this.#thumbs.set(1, this.#thumb(1, "good", "Good"));
    this.#thumbs.set(0, this.#thumb(0, "poor", "Not good"));
    this.element.append(this.#problem, this.#comment, ...this.#thumbs.values());
    this.#say("");
  }

  /** Whether there is anything to show. */
  get shown() {
    const { disable_feedback, status } = this.#node.doc;
    return (disable_feedback === false && status !== "running") || Boolean(this.#given);
  }

  /** @returns {import("./session.js").Feedback | undefined} */
  get #given() {
    return this.#node.attached.feedback.get(this.#node.id);
  }

  update() {
    const given = this.#given;
    this.element.hidden = !this.shown;
    this.element.dataset.value = String(given?.value ?? "");
    this.#comment.textContent = given?.comment ?? "";
    for (const [value, thumb] of this.#thumbs) {
      thumb.setAttribute("aria-pressed", String(given?.value === value));
      thumb.disabled = this.#node.doc.disable_feedback !== false;
    }
  }

  /** @param {0 | 1} value @param {string} name of the icon @param {string} label */
  #thumb(value, name, label) {
    const thumb = el("button", { type: "button", class: "copy", "aria-label": label, title: label },
      icon(name));
    thumb.addEventListener("click", () => this.#rate(value));
    return thumb;
  }

  /** The stream shows the result, on this page and on all others. @param {0 | 1} value */
  async #rate(value) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const isGiven = this.#given?.value === value;
      await rateStep(this.#tree.sid, this.#node.id, isGiven ? null : value);
      this.#say("");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#say(`Your rating was not saved. ${error.message}`);
    } finally {
      this.#busy = false;
    }
  }

  /** @param {string} problem */
  #say(problem) {
    this.#problem.hidden = problem === "";
    this.#problem.textContent = problem;
  }
}

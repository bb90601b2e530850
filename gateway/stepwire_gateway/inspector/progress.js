import { el } from "./dom.js";
import { progressOf, progressWords } from "./format.js";

/**
 * How far a step is, as a bar that is read out too. Where it is not known how much there is, the bar
 * says only that something is done.
 */
export class ProgressBar {
  element = el("div", { class: "progress" });
  #fill = el("span", { class: "progress-fill" });
  #track = el("div", { class: "progress-track", role: "progressbar", "aria-valuemin": "0" }, this.#fill);
  #words = el("span", { class: "progress-words" });

  constructor() {
    this.element.append(this.#track, this.#words);
    this.element.hidden = true;
  }

  /** @param {{name: string, status: string, progress?: unknown}} step one that has ended shows none */
  show({ name, status, progress }) {
    const told = status === "running" ? progressOf(progress) : null;
    this.element.hidden = !told;
    if (!told) return;
    const { done, total, text } = told;
    const words = [progressWords(done, total), text].filter(Boolean).join(" · ");
    this.#words.textContent = words;
    this.#track.setAttribute("aria-label", `Progress of ${name}`);
    this.#track.setAttribute("aria-valuetext", words);
    this.#track.classList.toggle("unknown", !total);
    if (total) {
      // More may be done than there is.
      const shown = Math.min(done, total);
      this.#track.setAttribute("aria-valuemax", String(total));
      this.#track.setAttribute("aria-valuenow", String(shown));
      this.#fill.style.width = `${((100 * shown) / total).toFixed(1)}%`;
    } else {
      this.#track.removeAttribute("aria-valuemax");
      this.#track.removeAttribute("aria-valuenow");
      this.#fill.style.width = "";
    }
  }
}

import { el } from "./dom.js";

/** Something to be opened, with the gist of it on its line while it is closed. */
export class Fold {
  element = el("details", { class: "fold" });
  #gist = el("span", { class: "gist" });

  /** @param {string} label @param {Element} content */
  constructor(label, content) {
    this.element.append(el("summary", {}, label, this.#gist), content);
  }

  /** @param {string} gist without one there is nothing in it, and the fold is not shown */
  show(gist) {
    this.element.hidden = gist === "";
    this.#gist.textContent = gist;
  }
}

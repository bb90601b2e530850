import { el, icon, setIcon } from "./dom.js";

/** How a step or a run is doing: a spinner, then an icon; its word for screen readers. */
export class StatusMark {
  element = el("span", { class: "status" });
  #word = el("span", { class: "visually-hidden" });
  #icon = icon();

  constructor() {
    this.element.append(this.#icon, this.#word);
  }

  /** @param {string} status */
  show(status) {
    this.element.title = status;
    this.#word.textContent = status;
    setIcon(this.#icon, status);
  }
}

/** What went wrong, or nothing. */
export class ErrorBox {
  element = el("div", { class: "error" });

  /** @param {import("./session.js").Failure | null} error */
  show(error) {
    this.element.hidden = !error;
    if (!error) return;
    this.element.replaceChildren(
      el("strong", {}, error.type), el("span", { class: "error-message" }, error.message));
  }
}

/** @param {string} className @param {string} text */
export const tag = (className, text) => el("span", { class: className }, text);

/**
 * What models have used. @param {string} words @param {unknown} [model]
 */
export function usageTag(words, model) {
  const about = typeof model === "string" && model ? `Used by ${model}: ` : "Used: ";
  const shown = el("span", { class: "tag usage", title: `${about}tokens in and out, and their cost` });
  shown.append(el("span", { class: "visually-hidden" }, "used "), words);
  return shown;
}

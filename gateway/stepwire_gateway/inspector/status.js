import { count, usage } from "./format.js";

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  closed: "Closed",
};

/** The bar that tells how the stream is doing, and the warning when it broke its promise. */
export class StatusBar {
  #bar;
  #warning;
  #announcer;

  /** @param {HTMLElement} bar @param {HTMLElement} warning @param {HTMLElement} announcer */
  constructor(bar, warning, announcer) {
    this.#bar = bar;
    this.#warning = warning;
    this.#announcer = announcer;
  }

  /**
   * @param {import("./stream.js").Stream} stream
   * @param {import("./session.js").Session} session
   */
  show(stream, session) {
    const { cursor, gaps, breach } = stream.check;
    const part = (name) => this.#bar.querySelector(`[data-part=${name}]`);
    this.#bar.dataset.connection = stream.connection;
    this.#bar.dataset.cursor = cursor ?? "";
    this.#bar.dataset.gaps = String(gaps);
    part("connection").textContent = WORDS[stream.connection];
    part("events").textContent = count(stream.events, "event");
    part("steps").textContent = count(session.steps.size, "step");
    const used = usage(session.used);
    part("usage").textContent = used;
    part("usage").hidden = !used;
    part("cursor").textContent = cursor ?? "no cursor yet";
    part("gaps").textContent = gaps ? count(gaps, "gap") : "no gaps";
    if (gaps === 0) return;
    const words = `The stream has a gap: ${breach}. What you see may be incomplete; reload the ` +
      `page to get it whole. (${count(gaps, "gap")} so far)`;
    if (this.#warning.textContent !== words) this.#warning.textContent = words;
    this.#warning.hidden = false;
  }

  /** For screen readers: whole sentences, not tokens. @param {string} words */
  announce(words) {
    this.#announcer.textContent = words;
  }
}

/** Elements in one expression. Text from outside never becomes markup. */

import { ROOT } from "./root.js";

/** How long a button shows that it has copied. */
const COPIED_MS = 1200;

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Element | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} [name] a symbol of icons.svg; without it, `setIcon` gives it one */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  if (name) setIcon(svg, name);
  return svg;
}

/** @param {SVGElement} svg @param {string} name */
export function setIcon(svg, name) {
  const href = `${ROOT}inspector/icons.svg#${name}`;
  const use = /** @type {SVGUseElement} */ (svg.firstElementChild);
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/**
 * A button that copies what `text` gives when it is pressed; hidden where the browser has no
 * clipboard (plain http on another host).
 *
 * @param {() => string} text
 * @param {string} label
 */
export function copyButton(text, label) {
  const mark = icon("copy");
  const button = el("button", { type: "button", class: "copy", "aria-label": label }, mark);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    setIcon(mark, "ok");
    setTimeout(() => setIcon(mark, "copy"), COPIED_MS);
  });
  return button;
}

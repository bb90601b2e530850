import { el, icon } from "./dom.js";
import { bytes } from "./format.js";
import { ROOT } from "./root.js";
import { authorization, withToken } from "./token.js";

const TEXTUAL = new Set(["text", "json", "dataframe", "plotly"]);

/** Types whose elements have all in their document, and come again when it changes. */
const LIVE = new Set(["tasklist", "custom"]);

/** Larger texts are offered for download only. */
const SHOWN_BYTES = 256 * 1024;

/** The elements of one step: pictures and sounds in place, texts on demand, the rest as links. */
export class Attachments {
  element = el("ul", { class: "attachments" });
  /** @type {Map<string, {item: HTMLElement, ts: string}>} */
  #shown = new Map();

  constructor() {
    this.element.hidden = true;
  }

  /** @param {Map<string, import("./session.js").Element>} elements */
  show(elements) {
    for (const [id, { item }] of this.#shown) {
      if (elements.has(id)) continue;
      item.remove();
      this.#shown.delete(id);
    }
    for (const [id, element] of elements) {
      const known = this.#shown.get(id);
      // An element with bytes stays as it is: a sound goes on when its document comes again.
      if (known && !(LIVE.has(element.type) && known.ts !== element.ts)) continue;
      const item = known?.item ?? el("li", { "data-element-id": id });
      item.replaceChildren(...parts(element));
      this.#shown.set(id, { item, ts: element.ts });
      if (!known) this.element.append(item);
    }
    this.element.hidden = this.#shown.size === 0;
  }
}

/** @param {import("./session.js").Element} element @returns {HTMLElement[]} */
function parts(element) {
  const { type, name, url } = element;
  if (type === "tasklist") return [taskList(element.props ?? {})];
  if (type === "custom") return [custom(name, element.props)];
  // What our gateway serves; our own policy lets the page load nothing from elsewhere.
  const ours = url.startsWith(`${ROOT}v1/`);
  const src = ours ? withToken(url) : url;
  const caption = link({ ...element, url: src });
  if (!ours) return [caption];
  if (type === "image") return [el("img", { src, alt: name, loading: "lazy" }), caption];
  if (type === "audio" || type === "video") {
    return [el(type, { src, controls: "", preload: "metadata" }), caption];
  }
  if (TEXTUAL.has(type) && element.size <= SHOWN_BYTES) return [textOf(element), caption];
  return [caption];
}

const TASK_ICONS = { ready: "clock", running: "run", failed: "error", done: "ok" };

/** @param {{status?: unknown, tasks?: unknown}} props */
function taskList({ status, tasks }) {
  const lines = (Array.isArray(tasks) ? tasks : []).map((task) => {
    const word = String(task?.status ?? "");
    const line = el("li", { class: "task", "data-status": word }, icon(TASK_ICONS[word] ?? "undefined"),
      el("span", {}, String(task?.title ?? "")));
    line.append(el("span", { class: "visually-hidden" }, ` (${word})`));
    return line;
  });
  return el("section", { class: "task-list", "aria-label": "Tasks" },
    el("p", { class: "task-list-status" }, String(status ?? "")), el("ol", {}, ...lines));
}

/** What another front end draws, as its facts. @param {string} name @param {unknown} props */
function custom(name, props) {
  const pre = el("pre", { class: "text" }, JSON.stringify(props ?? {}, null, 2));
  return el("details", {}, el("summary", {}, name), pre);
}

/** @param {import("./session.js").Element} element */
function link({ name, mime, size, url }) {
  const facts = [mime, size === null ? null : bytes(size)].filter(Boolean).join(", ");
  const label = el("span", { class: "attachment-facts" }, facts);
  if (!canBeOpened(url)) return el("span", {}, name, label);
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name, label);
}

/**
 * The author of the step chose the address: a `javascript:` one must not run here, and what is not
 * address at all must not stop the page.
 *
 * @param {string} url
 */
function canBeOpened(url) {
  try {
    return /^https?:$/.test(new URL(url, location.href).protocol);
  } catch {
    return false;
  }
}

/** @param {import("./session.js").Element} element fetched when it is unfolded */
function textOf({ name, url }) {
  const pre = el("pre", { class: "text" });
  const fold = el("details", {}, el("summary", {}, name), pre);
  let isThere = false;
  fold.addEventListener("toggle", async () => {
    if (!fold.open || isThere) return;
    const text = await load(url);
    isThere = text !== null;
    pre.textContent = text ?? "It could not be loaded. Close and open this to try again.";
  });
  return fold;
}

/** @param {string} url of our gateway @returns {Promise<string | null>} null if it did not come */
async function load(url) {
  try {
    const response = await fetch(url, { headers: authorization() });
    return response.ok ? await response.text() : null;
  } catch {
    return null;
  }
}

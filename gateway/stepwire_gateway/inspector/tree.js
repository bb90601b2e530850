import { Files } from "./files.js";
import { descendants } from "./session.js";
import { RunView } from "./run.js";
import { StepView } from "./step.js";

const TICK_MS = 100;
const CALM_TICK_MS = 1000;

/** In a snapshot of more steps than this, those that have ended start closed. */
const MANY_STEPS = 200;

/**
 * The parts of one node that are drawn at the next frame.
 * @typedef {object} Pending
 * @property {boolean} place
 * @property {boolean} doc
 * @property {Map<"input" | "output", boolean>} texts what has changed; true: not only at its end
 */

/**
 * The session on the page. Changes are gathered and shown once a frame; each touches only the
 * elements of its own node, so a token costs the same at the start and after a hundred thousand.
 */
export class Tree {
  clock;
  sid;
  /** The ask that the composer answers. @type {string | null} */
  answering = null;
  #session;
  #root;
  #afterFlush;
  /** @type {Map<import("./session.js").Node, StepView | RunView>} */
  #views = new Map();
  /** @type {Map<import("./session.js").Node, Pending>} */
  #pending = new Map();
  /** @type {Set<import("./session.js").Node>} */
  #removed = new Set();
  /** @type {Set<StepView | RunView>} */
  #running = new Set();
  /** What the reader opened or closed: it outlives a snapshot. @type {Map<string, boolean>} */
  #choices = new Map();
  /** What the reader has chosen for asks, which outlives a snapshot too. @type {Map<string, Files>} */
  #files = new Map();
  #onAnswer;
  #ticking;
  #reset = false;
  #frame = 0;

  /**
   * @param {HTMLElement} root an `ol`
   * @param {string} sid
   * @param {import("./session.js").Session} session
   * @param {import("./format.js").ServerClock} clock
   * @param {{afterFlush(): void, onAnswer(ask: import("./session.js").Ask): void}} listener
   *   `afterFlush` is called when what is shown has changed, `onAnswer` when the reader wants to
   *   answer a question for a text
   */
  constructor(root, sid, session, clock, { afterFlush, onAnswer }) {
    this.clock = clock;
    this.sid = sid;
    this.#root = root;
    this.#session = session;
    this.#afterFlush = afterFlush;
    this.#onAnswer = onAnswer;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#ticking = setInterval(() => this.#tick(), calm ? CALM_TICK_MS : TICK_MS);
    root.addEventListener("keydown", (event) => this.#moveFocus(event));
  }

  /** @param {import("./session.js").Change[]} changes */
  show(changes) {
    for (const change of changes) this.#note(change);
    if (changes.length > 0) this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /** @param {import("./session.js").Change} change */
  #note(change) {
    if (change.kind === "reset") {
      this.#pending.clear();
      this.#removed.clear();
      this.#reset = true;
      for (const node of descendants({ children: this.#session.roots })) {
        const pending = this.#pendingOf(node);
        pending.place = pending.doc = true;
      }
      return;
    }
    // They belong to no node: `afterFlush` has them shown.
    if (change.kind === "uploads") return;
    const { node } = change;
    if (change.kind === "remove") {
      this.#pending.delete(node);
      this.#removed.add(node);
      return;
    }
    const pending = this.#pendingOf(node);
    if (change.kind === "text") {
      const { field, replace } = change;
      pending.texts.set(field, replace || Boolean(pending.texts.get(field)));
    } else {
      pending[change.kind] = true;
    }
  }

  #pendingOf(node) {
    let pending = this.#pending.get(node);
    if (!pending) {
      pending = { place: false, doc: false, texts: new Map() };
      this.#pending.set(node, pending);
    }
    return pending;
  }

  #flush() {
    this.#frame = 0;
    if (this.#reset) for (const node of this.#views.keys()) this.#drop(node);
    this.#reset = false;
    for (const node of this.#removed) this.#drop(node);
    this.#removed.clear();
    /** @type {Set<StepView>} */
    const grown = new Set();
    for (const [node, pending] of this.#pending) {
      const view = this.#view(node);
      if (pending.place) this.#attach(node, view);
      for (const [field, replaced] of pending.texts) {
        view.write(field, replaced);
        if (!replaced) grown.add(view);
      }
      // A text that changes after the end needs its colours anew.
      if (pending.doc || !view.running) this.#update(view);
    }
    this.#pending.clear();
    for (const view of grown) view.follow();
    this.#afterFlush();
  }

  #update(view) {
    view.update();
    if (view.ticking) this.#running.add(view);
    else this.#running.delete(view);
  }

  #drop(node) {
    const view = this.#views.get(node);
    if (!view) return;
    view.element.remove();
    view.dispose();
    this.#running.delete(view);
    this.#views.delete(node);
  }

  /** A child may be at hand before its parent within one frame: views are made on demand. */
  #view(node) {
    let view = this.#views.get(node);
    if (!view) {
      view = node.kind === "run" ? new RunView(node, this) : new StepView(node, this);
      this.#views.set(node, view);
    }
    return view;
  }

  #attach(node, view) {
    const list = node.parent ? this.#view(node.parent).list : this.#root;
    const siblings = node.parent?.children ?? this.#session.roots;
    for (let at = siblings.lastIndexOf(node) - 1; at >= 0; at -= 1) {
      const before = this.#views.get(siblings[at])?.element;
      if (before?.parentNode === list) return void before.after(view.element);
    }
    list.prepend(view.element);
  }

  #tick() {
    if (document.hidden) return;
    const now = this.clock.now();
    for (const view of this.#running) view.tick(now);
  }

  /** @param {import("./session.js").Node} node @returns {boolean} */
  opensAtFirst({ id, doc, attached }) {
    const choice = this.#choices.get(id);
    if (choice !== undefined) return choice;
    if (doc.status === "running" || [...attached.ask.values()].some(isOpen)) return true;
    if (doc.auto_collapse) return false;
    return doc.default_open || Boolean(doc.error) || this.#session.steps.size <= MANY_STEPS;
  }

  /** The reader's will, kept over what the step says. @param {StepView} view @param {boolean} open */
  choose(view, open) {
    this.#choices.set(view.id, open);
    view.setOpen(open);
  }

  /** @param {StepView} view */
  collapseByItself(view) {
    if (!this.#choices.has(view.id)) view.setOpen(false);
  }

  /** @param {boolean} open */
  chooseAll(open) {
    for (const view of this.#views.values()) if (view instanceof StepView) this.choose(view, open);
  }

  /** The reader wants to answer a question for a text. @param {import("./session.js").Ask} ask */
  answer(ask) {
    this.#onAnswer(ask);
  }

  /** @param {string | null} askId the ask that the composer answers now */
  showAnswering(askId) {
    const before = this.answering;
    this.answering = askId;
    for (const id of [before, askId]) this.#viewOfAsk(id)?.updateAsks();
  }

  /** What the reader has chosen to answer an ask with. @param {string} askId @returns {Files} */
  filesFor(askId) {
    let files = this.#files.get(askId);
    if (!files) {
      files = new Files(() => this.#viewOfAsk(askId)?.updateAsks());
      this.#files.set(askId, files);
    }
    return files;
  }

  /**
   * @param {File[]} files
   * @param {string} [askId] the ask that they are meant for; else the latest that takes files
   * @returns {boolean} whether there is such an ask
   */
  offerFiles(files, askId) {
    const asks = [...this.#session.asks.values()].filter((ask) => ask.kind === "file" && isOpen(ask));
    const ask = askId ? asks.find(({ id }) => id === askId) : asks.at(-1);
    if (ask) this.filesFor(ask.id).add(files);
    return Boolean(ask);
  }

  #viewOfAsk(askId) {
    const node = this.#session.steps.get(this.#session.asks.get(askId)?.step_id);
    return /** @type {StepView | undefined} */ (node && this.#views.get(node));
  }

  /** Nothing happens any more: what still runs is shown as it stood. */
  freeze() {
    clearInterval(this.#ticking);
  }

  /** Arrow keys between the lines that are to be seen, as in a tree of files. */
  #moveFocus(event) {
    const toggle = event.target.closest?.(".step-toggle");
    if (!toggle || event.altKey || event.ctrlKey || event.metaKey) return;
    const open = toggle.getAttribute("aria-expanded") === "true";
    const toggles = () =>
      [...this.#root.querySelectorAll(".step-toggle")].filter((one) => one.offsetParent);
    const move = (by) => {
      const all = toggles();
      all[all.indexOf(toggle) + by]?.focus();
    };
    const actions = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      ArrowRight: () => (open ? move(1) : toggle.click()),
      ArrowLeft: () => (open
        ? toggle.click()
        : toggle.closest(".children")?.closest(".step")?.querySelector(".step-toggle")?.focus()),
      Home: () => toggles().at(0)?.focus(),
      End: () => toggles().at(-1)?.focus(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}

/** @param {import("./session.js").Ask} ask */
const isOpen = ({ status }) => status === "open";

import { Attached } from "./attached.js";
import { ATTACHED_KINDS, EVENTS, kindOf } from "./vocabulary.js";

/**
 * One session as its events tell it: the fold of the stream, pure data.
 *
 * @typedef {{type: string, message: string}} Failure
 *
 * @typedef {{input_tokens: number | null, output_tokens: number | null, cost: number | null, model?: string | null}} Used
 *
 * @typedef {object} Step
 * @property {string} id
 * @property {string | null} run_id
 * @property {number} attempt
 * @property {string | null} parent_id
 * @property {string} name
 * @property {string} type
 * @property {"running" | "ok" | "error" | "cancelled" | "interrupted"} status
 * @property {string} input
 * @property {string} output
 * @property {string | null} language
 * @property {boolean | string} show_input
 * @property {boolean} default_open
 * @property {boolean} auto_collapse
 * @property {boolean} disable_feedback
 * @property {string | null} icon
 * @property {string[]} tags
 * @property {Record<string, unknown>} metadata
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {Failure | null} error
 * @property {number | null} [from_attempt] whose stored result it has
 * @property {Used | null} [usage] without what is below it
 * @property {{done: number, total: number | null, text: string | null} | null} [progress]
 * @property {string} ts
 *
 * @typedef {object} Run
 * @property {string} run_id
 * @property {string} handler
 * @property {number} attempt
 * @property {string | null} message_id
 * @property {string | null} [parent_run_id]
 * @property {Step["status"]} status
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {Failure | null} error
 * @property {boolean} will_retry
 * @property {Used | null} [usage] of its steps, in all attempts
 * @property {string} ts
 *
 * @typedef {object} Element
 * @property {string} id
 * @property {string | null} step_id
 * @property {string} type
 * @property {string} name
 * @property {string} mime
 * @property {number | null} size in bytes; null for what the gateway does not serve
 * @property {string} url
 * @property {Record<string, any>} [props]
 * @property {string} ts
 *
 * @typedef {{id: string, name: string, label: string, tooltip: string}} Action
 *
 * @typedef {object} Ask
 * @property {string} id
 * @property {string} step_id
 * @property {"text" | "action" | "file"} kind
 * @property {Action[]} actions
 * @property {string[]} accept
 * @property {number | null} max_files
 * @property {number | null} max_bytes
 * @property {"open" | "answered" | "timeout" | "cancelled" | "interrupted"} status
 * @property {{message_id: string | null, action_id: string | null, elements: string[]} | null} answer
 * @property {string} expires_at
 *
 * @typedef {{step_id: string, value: 0 | 1 | null, comment: string | null}} Feedback
 *
 * A place in the displayed tree. `doc` is replaced by every event that carries the whole.
 * @typedef {object} Node
 * @property {"step" | "run"} kind
 * @property {string} id
 * @property {any} doc a Step or a Run
 * @property {number} ordinal rises in the order of arrival; siblings stand in it
 * @property {Node | null} parent where it is displayed, null at the top
 * @property {Node[]} children
 * @property {Record<string, Map<string, any>>} attached what else stands with a step, by its kind and id
 *
 * The change that an event made; `text` is appended to the field, or replaces it.
 * @typedef {{kind: "reset"}
 *   | {kind: "place", node: Node}
 *   | {kind: "doc", node: Node}
 *   | {kind: "text", node: Node, field: "input" | "output", text: string, replace: boolean}
 *   | {kind: "remove", node: Node}
 *   | {kind: "uploads"}} Change
 */

const TEXT_FIELDS = /** @type {const} */ (["input", "output"]);

export class Session {
  /** @type {Map<string, Node>} */
  steps = new Map();
  /** @type {Map<string, Node>} */
  runs = new Map();
  /** @type {Node[]} */
  roots = [];
  /** What stands with steps, by its kind. @type {Record<string, Attached<any>>} */
  attached = Object.fromEntries(ATTACHED_KINDS.map((kind) => [kind.name, new Attached(kind)]));

  /** Nodes at the top whose parent is not there, by its id. @type {Map<string, Set<Node>>} */
  #orphans = new Map();
  #ordinal = 0;
  #used = { input_tokens: 0, output_tokens: 0, cost: 0 };
  /** Documents that this page cannot show: each costs itself alone. */
  unread = 0;

  /** All that is or was asked, in the order in which it was. @returns {Map<string, Ask>} */
  get asks() {
    return this.attached.ask.documents;
  }

  /** What all of it has used: the runs, and the steps outside of runs. */
  get used() {
    return { ...this.#used, cost: Number(this.#used.cost.toFixed(10)) };
  }

  /** The files that were uploaded and not sent with anything yet. @returns {Map<string, Element>} */
  get uploads() {
    return this.attached.element.of(null);
  }

  /**
   * Folds one event in. Event types that are not known change nothing, and neither does a document
   * that is none.
   *
   * @param {string} type
   * @param {any} data
   * @returns {Change[]} in the order to be shown
   */
  apply(type, data) {
    const event = EVENTS[type];
    if (!event) return [];
    if (event.effect === "replace") return this.#replaceAll(data);
    const kind = kindOf(event.kind);
    if (!this.#isReadable(data, event.effect === "put" ? kind.id : "id")) return [];
    switch (event.effect) {
      case "put":
        return this.#put(kind.name, data);
      case "text":
        return this.#appendText(data);
      case "remove":
        if (kind.name === "step") return this.#remove(data.id);
        return this.#changes(kind.name, this.attached[kind.name].remove(data.id));
    }
  }

  /** @param {string} kind @returns {Change[]} */
  #put(kind, data) {
    if (kind === "run") return this.#putNode("run", data.run_id, data);
    if (kind === "step") return this.#putNode("step", data.id, withTexts(data));
    return this.#changes(kind, this.attached[kind].put(kind === "ask" ? withLists(data) : data));
  }

  /** @param {string} kind @param {(string | null)[]} stepIds @returns {Change[]} */
  #changes(kind, stepIds) {
    return stepIds.flatMap((id) => {
      if (id === null) return kind === "element" ? [{ kind: "uploads" }] : [];
      const node = this.steps.get(id);
      return node ? [{ kind: "doc", node }] : [];
    });
  }

  #isReadable(data, id) {
    const readable = typeof data === "object" && data !== null && typeof data[id] === "string";
    if (!readable) this.unread += 1;
    return readable;
  }

  /** @returns {Change[]} */
  #replaceAll(snapshot) {
    if (!isObject(snapshot)) {
      this.unread += 1;
      return [];
    }
    // Documents that cannot be read keep their place: the snapshot counts them.
    const documents = ({ list, id }) =>
      Array.isArray(snapshot[list]) ? snapshot[list].map((item) => (this.#isReadable(item, id) ? item : null)) : [];
    const runs = documents(kindOf("run"));
    const steps = documents(kindOf("step"));
    this.steps.clear();
    this.runs.clear();
    this.roots = [];
    this.#used = { input_tokens: 0, output_tokens: 0, cost: 0 };
    for (const attached of Object.values(this.attached)) attached.clear();
    this.#orphans.clear();
    const put = (kind, items) => items.forEach((item) => item && this.#put(kind, item));
    let at = 0;
    runs.forEach((run, place) => {
      // An older gateway does not tell it.
      const before = Math.max(at, snapshot.steps_before_runs?.[place] ?? 0);
      put("step", steps.slice(at, before));
      put("run", [run]);
      at = before;
    });
    put("step", steps.slice(at));
    for (const kind of ATTACHED_KINDS) put(kind.name, documents(kind));
    return [{ kind: "reset" }];
  }

  /** @returns {Change[]} */
  #putNode(kind, id, doc) {
    const nodes = kind === "step" ? this.steps : this.runs;
    const known = nodes.get(id);
    if (known) return this.#replace(known, doc);

    const attached = kind === "step" ? this.#attachedTo(id) : {};
    const node = { kind, id, doc, ordinal: ++this.#ordinal, parent: null, children: [], attached };
    nodes.set(id, node);
    this.#count(kind, doc, 1);
    this.#place(node);
    /** @type {Change[]} */
    const changes = [{ kind: "place", node }, { kind: "doc", node }, ...textChanges(node, {}, doc)];
    if (kind === "step") changes.push(...this.#adoptOrphans(node));
    return changes;
  }

  /** @returns {Change[]} */
  #replace(node, doc) {
    const before = node.doc;
    node.doc = doc;
    this.#count(node.kind, before, -1);
    this.#count(node.kind, doc, 1);
    /** @type {Change[]} */
    const changes = [];
    if (parentId(node.kind, before) !== parentId(node.kind, doc)) {
      this.#displace(node);
      this.#orphans.get(parentId(node.kind, before))?.delete(node);
      this.#place(node);
      changes.push({ kind: "place", node });
    }
    changes.push({ kind: "doc", node }, ...textChanges(node, before, doc));
    return changes;
  }

  /** @returns {Change[]} */
  #appendText({ id, field, text, replace = false }) {
    const node = this.steps.get(id);
    if (!node || !TEXT_FIELDS.includes(field)) return [];
    node.doc[field] = replace ? text : node.doc[field] + text;
    return [{ kind: "text", node, field, text, replace }];
  }

  /** @param {string} stepId */
  #attachedTo(stepId) {
    return Object.fromEntries(Object.entries(this.attached).map(([kind, all]) => [kind, all.of(stepId)]));
  }

  /** @returns {Change[]} */
  #remove(id) {
    const top = this.steps.get(id);
    // The log removes what hangs under an id, whether or not that step was ever there.
    if (!top) {
      for (const attached of Object.values(this.attached)) attached.removeStep(id);
      return [...(this.#orphans.get(id) ?? [])].flatMap((node) => this.#remove(node.id));
    }
    this.#displace(top);
    this.#forget(top);
    /** @type {Change[]} */
    const changes = [{ kind: "remove", node: top }];
    for (const node of descendants(top)) {
      if (node.kind === "step") {
        this.#forget(node);
        changes.push({ kind: "remove", node });
      } else {
        // Only steps go: the run that a removed message started is still a run of the session.
        this.#place(node);
        changes.push({ kind: "place", node });
      }
    }
    return changes;
  }

  /** A step of a run is in the sum of its run. */
  #count(kind, { run_id, usage }, sign) {
    if (kind === "step" && typeof run_id === "string") return;
    for (const key of Object.keys(this.#used)) {
      if (Number.isFinite(usage?.[key])) this.#used[key] += sign * usage[key];
    }
  }

  /** @param {Node} step */
  #forget(step) {
    this.steps.delete(step.id);
    this.#count("step", step.doc, -1);
    for (const attached of Object.values(this.attached)) attached.removeStep(step.id);
    this.#orphans.get(parentId("step", step.doc))?.delete(step);
  }

  /** @param {Node} node */
  #place(node) {
    const wanted = parentId(node.kind, node.doc);
    const parent = this.steps.get(wanted) ?? null;
    node.parent = parent && !isWithin(parent, node) ? parent : null;
    insertByOrdinal(node.parent?.children ?? this.roots, node);
    if (wanted !== null && !parent) {
      if (!this.#orphans.has(wanted)) this.#orphans.set(wanted, new Set());
      this.#orphans.get(wanted).add(node);
    }
  }

  /** @param {Node} node */
  #displace(node) {
    const siblings = node.parent?.children ?? this.roots;
    siblings.splice(siblings.indexOf(node), 1);
    node.parent = null;
  }

  /** @param {Node} parent @returns {Change[]} */
  #adoptOrphans(parent) {
    const orphans = this.#orphans.get(parent.id) ?? [];
    this.#orphans.delete(parent.id);
    return [...orphans].map((node) => {
      this.#displace(node);
      this.#place(node);
      return { kind: "place", node };
    });
  }
}

/** @param {Node} node @returns {Generator<Node>} everything below it */
export function* descendants(node) {
  for (const child of node.children) {
    yield child;
    yield* descendants(child);
  }
}

/** A run stands below the message that started it. */
function parentId(kind, doc) {
  return (kind === "step" ? doc.parent_id : doc.message_id) ?? null;
}

/** Whether `node` is `ancestor` or below it: data from outside may close a circle. */
function isWithin(node, ancestor) {
  for (let at = node; at; at = at.parent) if (at === ancestor) return true;
  return false;
}

function insertByOrdinal(siblings, node) {
  let at = siblings.length;
  while (at > 0 && siblings[at - 1].ordinal > node.ordinal) at -= 1;
  siblings.splice(at, 0, node);
}

function withTexts(step) {
  for (const field of TEXT_FIELDS) {
    const value = step[field] ?? "";
    step[field] = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  }
  step.tags = Array.isArray(step.tags) ? step.tags : [];
  step.metadata = isObject(step.metadata) ? step.metadata : {};
  step.error = isObject(step.error) ? step.error : null;
  return step;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function withLists(ask) {
  ask.actions = Array.isArray(ask.actions) ? ask.actions.filter(isObject) : [];
  ask.accept = Array.isArray(ask.accept) ? ask.accept.filter((item) => typeof item === "string") : [];
  return ask;
}

/** The end of a step repeats what was streamed; telling the difference spares a rewrite of it. */
function textChanges(node, before, after) {
  if (node.kind !== "step") return [];
  return TEXT_FIELDS.flatMap((field) => {
    const old = before[field] ?? "";
    const text = after[field];
    if (text === old) return [];
    const replace = !text.startsWith(old);
    return [{ kind: "text", node, field, text: replace ? text : text.slice(old.length), replace }];
  });
}

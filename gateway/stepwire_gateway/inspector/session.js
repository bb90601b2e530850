/**
 * One session as its events tell it: the fold of the stream, pure data.
 *
 * @typedef {{type: string, message: string}} Failure
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
 * @property {string | null} icon
 * @property {string[]} tags
 * @property {Record<string, unknown>} metadata
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {Failure | null} error
 * @property {string} ts
 *
 * @typedef {object} Run
 * @property {string} run_id
 * @property {string} handler
 * @property {number} attempt
 * @property {string | null} message_id
 * @property {Step["status"]} status
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {Failure | null} error
 * @property {boolean} will_retry
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
 *
 * A place in the displayed tree. `doc` is replaced by every event that carries the whole.
 * @typedef {object} Node
 * @property {"step" | "run"} kind
 * @property {string} id
 * @property {any} doc a Step or a Run
 * @property {number} ordinal rises in the order of arrival; siblings stand in it
 * @property {Node | null} parent where it is displayed, null at the top
 * @property {Node[]} children
 * @property {Map<string, Element>} elements what is attached to a step
 *
 * What an event changed; `text` is what to append to the field, or to put in its place.
 * @typedef {{kind: "reset"}
 *   | {kind: "place", node: Node}
 *   | {kind: "doc", node: Node}
 *   | {kind: "text", node: Node, field: "input" | "output", text: string, replace: boolean}
 *   | {kind: "remove", node: Node}} Change
 */

const TEXT_FIELDS = /** @type {const} */ (["input", "output"]);

export class Session {
  /** @type {Map<string, Node>} */
  steps = new Map();
  /** @type {Map<string, Node>} */
  runs = new Map();
  /** @type {Node[]} */
  roots = [];

  /** Nodes at the top whose parent is not there, by its id. @type {Map<string, Set<Node>>} */
  #orphans = new Map();
  #ordinal = 0;

  /**
   * Folds one event in. Event types that are not known change nothing.
   *
   * @param {string} type
   * @param {any} data
   * @returns {Change[]} in the order to be shown
   */
  apply(type, data) {
    switch (type) {
      case "snapshot":
        return this.#replaceAll(data);
      case "step.start":
      case "step.update":
      case "step.end":
        return this.#put("step", data.id, withTexts(data));
      case "step.delta":
        return this.#appendText(data);
      case "step.remove":
        return this.#remove(data.id);
      case "element.add":
        return this.#attach(data);
      case "element.remove":
        return this.#detach(data.id);
      case "run.start":
      case "run.end":
        return this.#put("run", data.run_id, data);
      default:
        return [];
    }
  }

  /** @returns {Change[]} */
  #replaceAll({ runs, steps, elements = [] }) {
    this.steps.clear();
    this.runs.clear();
    this.roots = [];
    this.#orphans.clear();
    const waiting = [...runs];
    for (const step of steps) {
      // A snapshot does not say how runs and steps interleave: a run comes before its first step.
      for (const run of waiting.filter((run) => startedBefore(run, step))) {
        this.#put("run", run.run_id, run);
        waiting.splice(waiting.indexOf(run), 1);
      }
      this.#put("step", step.id, withTexts(step));
    }
    for (const run of waiting) this.#put("run", run.run_id, run);
    for (const element of elements) this.#attach(element);
    return [{ kind: "reset" }];
  }

  /** @returns {Change[]} */
  #put(kind, id, doc) {
    const nodes = kind === "step" ? this.steps : this.runs;
    const known = nodes.get(id);
    if (known) return this.#replace(known, doc);

    const node = { kind, id, doc, ordinal: ++this.#ordinal, parent: null, children: [],
      elements: new Map() };
    nodes.set(id, node);
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

  /** @returns {Change[]} uploads, which belong to no step, are not shown */
  #attach(element) {
    const node = this.steps.get(element.step_id);
    if (!node) return [];
    node.elements.set(element.id, element);
    return [{ kind: "doc", node }];
  }

  /** @returns {Change[]} */
  #detach(id) {
    for (const node of this.steps.values()) {
      if (node.elements.delete(id)) return [{ kind: "doc", node }];
    }
    return [];
  }

  /** @returns {Change[]} */
  #remove(id) {
    const top = this.steps.get(id);
    // The log removes what hangs under an id, whether or not that step was ever there.
    if (!top) return [...(this.#orphans.get(id) ?? [])].flatMap((node) => this.#remove(node.id));
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

  /** @param {Node} step */
  #forget(step) {
    this.steps.delete(step.id);
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

function startedBefore(run, step) {
  return step.run_id === run.run_id || run.started_at < step.started_at;
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
  return step;
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

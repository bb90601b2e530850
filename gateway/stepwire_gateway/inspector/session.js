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
 * @property {boolean} disable_feedback
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
 * @property {string | null} [parent_run_id]
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
 * @property {Map<string, Element>} elements what is attached to a step
 * @property {Map<string, Ask>} asks what is asked with a step
 * @property {Feedback | null} feedback what a person thinks of a step
 *
 * What an event changed; `text` is what to append to the field, or to put in its place.
 * @typedef {{kind: "reset"}
 *   | {kind: "place", node: Node}
 *   | {kind: "doc", node: Node}
 *   | {kind: "text", node: Node, field: "input" | "output", text: string, replace: boolean}
 *   | {kind: "remove", node: Node}
 *   | {kind: "uploads"}} Change
 */

/** What names the document of an event; without it there is nothing to show. */
const ID_OF = {
  "step.start": "id", "step.update": "id", "step.end": "id", "step.delta": "id", "step.remove": "id",
  "element.add": "id", "element.remove": "id",
  "ask": "id", "ask.end": "id",
  "feedback": "step_id",
  "run.start": "run_id", "run.end": "run_id",
};

const TEXT_FIELDS = /** @type {const} */ (["input", "output"]);

export class Session {
  /** @type {Map<string, Node>} */
  steps = new Map();
  /** @type {Map<string, Node>} */
  runs = new Map();
  /** @type {Node[]} */
  roots = [];
  /** All that is or was asked, in the order in which it was. @type {Map<string, Ask>} */
  asks = new Map();
  /** What was uploaded and not sent with anything yet. @type {Map<string, Element>} */
  uploads = new Map();

  /** Nodes at the top whose parent is not there, by its id. @type {Map<string, Set<Node>>} */
  #orphans = new Map();
  /** The step of each element that has one. @type {Map<string, Node>} */
  #holders = new Map();
  #ordinal = 0;
  /** Documents that this page cannot show: each costs itself alone. */
  unread = 0;

  /**
   * Folds one event in. Event types that are not known change nothing, and neither does a document
   * that is none.
   *
   * @param {string} type
   * @param {any} data
   * @returns {Change[]} in the order to be shown
   */
  apply(type, data) {
    const id = ID_OF[type];
    if (id && !this.#isReadable(data, id)) return [];
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
      case "ask":
      case "ask.end":
        return this.#ask(withLists(data));
      case "feedback":
        return this.#rate(data);
      case "run.start":
      case "run.end":
        return this.#put("run", data.run_id, data);
      default:
        return [];
    }
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
    const documents = (name, id) =>
      Array.isArray(snapshot[name]) ? snapshot[name].filter((item) => this.#isReadable(item, id)) : [];
    const runs = documents("runs", "run_id");
    const steps = documents("steps", "id");
    this.steps.clear();
    this.runs.clear();
    this.roots = [];
    this.asks.clear();
    this.uploads.clear();
    this.#holders.clear();
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
    for (const element of documents("elements", "id")) this.#attach(element);
    for (const ask of documents("asks", "id")) this.#ask(withLists(ask));
    for (const item of documents("feedback", "step_id")) this.#rate(item);
    return [{ kind: "reset" }];
  }

  /** @returns {Change[]} */
  #put(kind, id, doc) {
    const nodes = kind === "step" ? this.steps : this.runs;
    const known = nodes.get(id);
    if (known) return this.#replace(known, doc);

    const node = { kind, id, doc, ordinal: ++this.#ordinal, parent: null, children: [],
      elements: new Map(), asks: new Map(), feedback: null };
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

  /**
   * An uploaded file comes once more when it is sent with something: then it moves there.
   *
   * @returns {Change[]}
   */
  #attach(element) {
    const node = this.steps.get(element.step_id);
    const changes = node?.elements.has(element.id) ? [] : this.#detach(element.id);
    if (node) {
      node.elements.set(element.id, element);
      this.#holders.set(element.id, node);
      changes.push({ kind: "doc", node });
    } else if (element.step_id === null) {
      this.uploads.set(element.id, element);
      changes.push({ kind: "uploads" });
    }
    return changes;
  }

  /** @returns {Change[]} */
  #detach(id) {
    if (this.uploads.delete(id)) return [{ kind: "uploads" }];
    const node = this.#holders.get(id);
    if (!node) return [];
    this.#holders.delete(id);
    node.elements.delete(id);
    return [{ kind: "doc", node }];
  }

  /** @returns {Change[]} */
  #ask(ask) {
    const node = this.steps.get(ask.step_id);
    if (!node) return [];
    this.asks.set(ask.id, ask);
    node.asks.set(ask.id, ask);
    return [{ kind: "doc", node }];
  }

  /** @returns {Change[]} */
  #rate(feedback) {
    const node = this.steps.get(feedback.step_id);
    if (!node) return [];
    node.feedback = feedback.value === null ? null : feedback;
    return [{ kind: "doc", node }];
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
    for (const id of step.asks.keys()) this.asks.delete(id);
    for (const id of step.elements.keys()) this.#holders.delete(id);
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

/**
 * The documents of one kind that stand with steps, in the order of a snapshot: that of the first of each id.
 *
 * @template {Record<string, any>} D
 */
export class Attached {
  /** All of them, by id. @type {Map<string, D>} */
  documents = new Map();

  #kind;
  /** By the id of their step; null: those that stand with no step yet. @type {Map<string | null, Map<string, D>>} */
  #ofStep = new Map();
  /** @type {Map<string, number>} */
  #ordinals = new Map();
  #ordinal = 0;
  /** The highest ordinal of a step. @type {Map<string | null, number>} */
  #newest = new Map();

  /** @param {{id: string, parent: string, removing: string | null}} kind as in the vocabulary */
  constructor(kind) {
    this.#kind = kind;
  }

  /** Those of a step, now and later. @param {string | null} stepId @returns {Map<string, D>} */
  of(stepId) {
    const known = this.#ofStep.get(stepId) ?? new Map();
    this.#ofStep.set(stepId, known);
    return known;
  }

  /**
   * Takes a document, or lets go of the one of its id if it says so.
   *
   * @param {D} document
   * @returns {(string | null)[]} the steps that it has come to or gone from
   */
  put(document) {
    const { id: idField, removing } = this.#kind;
    const id = document[idField];
    if (removing && document[removing] === null) return this.remove(id);
    const stepId = this.#stepOf(document);
    const before = this.documents.get(id);
    const changed = before && this.#stepOf(before) !== stepId ? this.#leave(before, id) : [];
    if (!before) this.#ordinals.set(id, ++this.#ordinal);
    this.documents.set(id, document);
    const ofStep = this.of(stepId);
    const ordinal = this.#ordinals.get(id);
    const isLast = ofStep.has(id) || ordinal > (this.#newest.get(stepId) ?? 0);
    ofStep.set(id, document);
    if (isLast) this.#newest.set(stepId, Math.max(ordinal, this.#newest.get(stepId) ?? 0));
    else this.#sort(ofStep);
    return [...changed, stepId];
  }

  /** @param {string} id @returns {(string | null)[]} the step that it has gone from */
  remove(id) {
    const before = this.documents.get(id);
    if (!before) return [];
    this.documents.delete(id);
    this.#ordinals.delete(id);
    return this.#leave(before, id);
  }

  /** Lets go of all that belongs to a step. @param {string} stepId */
  removeStep(stepId) {
    for (const id of this.#ofStep.get(stepId)?.keys() ?? []) {
      this.documents.delete(id);
      this.#ordinals.delete(id);
    }
    this.#ofStep.delete(stepId);
    this.#newest.delete(stepId);
  }

  clear() {
    this.documents.clear();
    this.#ofStep.clear();
    this.#ordinals.clear();
    this.#newest.clear();
  }

  #sort(ofStep) {
    const inOrder = [...ofStep].sort(([a], [b]) => this.#ordinals.get(a) - this.#ordinals.get(b));
    ofStep.clear();
    for (const [id, document] of inOrder) ofStep.set(id, document);
  }

  #leave(document, id) {
    const stepId = this.#stepOf(document);
    this.of(stepId).delete(id);
    return [stepId];
  }

  #stepOf(document) {
    return document[this.#kind.parent] ?? null;
  }
}

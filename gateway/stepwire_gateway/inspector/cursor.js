/**
 * Watches that the ids of one stream are dense.
 *
 * `EventSource` hands over only event types that were asked for by name, so a type that this page
 * does not know looks like a gap; stream.js therefore subscribes to every type of the design.
 */
export class CursorCheck {
  /** The last id seen, `<epoch>-<seq>`, or null before the first. @type {string | null} */
  cursor = null;
  /** How often the stream broke its promise. */
  gaps = 0;
  /** The last breach in words, or null. @type {string | null} */
  breach = null;

  /**
   * Takes the id of the next event.
   *
   * @param {string} id
   * @param {boolean} isSnapshot a snapshot may jump anywhere: it replaces everything
   * @returns {boolean} whether to apply the event; false for one that was there before, since a
   *   delta applied twice would double its text
   */
  take(id, isSnapshot) {
    const next = parseCursor(id);
    if (!next) {
      this.#broken(`an event came with the id “${id}”`);
      return true;
    }
    const last = parseCursor(this.cursor);
    if (last && !isSnapshot) {
      if (next.epoch !== last.epoch) {
        this.#broken(`the epoch changed from ${last.epoch} to ${next.epoch} without a snapshot`);
      } else if (next.seq <= last.seq) {
        this.#broken(`${id} came again after ${this.cursor}`);
        return false;
      } else if (next.seq !== last.seq + 1) {
        this.#broken(`${next.seq - last.seq - 1} missing between ${this.cursor} and ${id}`);
      }
    }
    this.cursor = id;
    return true;
  }

  /** @param {string} words */
  #broken(words) {
    this.gaps += 1;
    this.breach = words;
  }
}

/**
 * @param {string | null} cursor
 * @returns {{epoch: string, seq: number} | null} null if it is not of the form `<epoch>-<seq>`
 */
export function parseCursor(cursor) {
  const match = /^(\d+)-(\d+)$/.exec(cursor ?? "");
  return match && { epoch: match[1], seq: Number(match[2]) };
}

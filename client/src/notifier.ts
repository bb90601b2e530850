/** When listeners are told: once a frame, unless the page is hidden, where frames do not come. */
export type Schedule = (flush: () => void) => void;

const FRAME_MS = 16;

export const oncePerFrame: Schedule = (flush) => {
  const page = globalThis.document;
  if (page && !page.hidden && typeof requestAnimationFrame === "function") requestAnimationFrame(flush);
  else setTimeout(flush, FRAME_MS);
};

/** Listeners by the key of what they want to hear of; a listener is told once for many changes. */
export class Notifier {
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #schedule: Schedule;
  #changed = new Set<string>();

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  subscribe(key: string, listener: () => void): () => void {
    // Each call has a subscription of its own, even with the same function.
    const one = () => listener();
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(one));
    return () => {
      listeners.delete(one);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  /** Something under this key, and so something at all (`any`), has changed. */
  changed(key: string): void {
    const isFirst = this.#changed.size === 0;
    this.#changed.add(key).add("any");
    if (isFirst) this.#schedule(() => this.#flush());
  }

  #flush(): void {
    const keys = this.#changed;
    this.#changed = new Set();
    for (const key of keys) {
      for (const listener of [...(this.#listeners.get(key) ?? [])]) {
        try {
          listener();
        } catch (error) {
          // One that fails must not keep the others from hearing.
          setTimeout(() => {
            throw error;
          });
        }
      }
    }
  }
}

/** Something that is done every so often while anybody listens, and all who do are told of. */
export class Clock {
  readonly #listeners = new Set<() => void>();
  readonly #everyMs: number;
  readonly #tick: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param tick is called every so often; it calls {@link tell} when there is news */
  constructor(everyMs: number, tick: () => void) {
    this.#everyMs = everyMs;
    this.#tick = tick;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(this.#tick, this.#everyMs);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };

  tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

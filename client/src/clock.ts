/** Events that come so soon after a stream has opened may be a replay. */
const REPLAY_MS = 1000;

/**
 * Estimates the server's clock from the `ts` of events.
 *
 * An event cannot arrive before it was made, so each one bounds how far this clock is ahead; the
 * smallest bound is the best. Replayed events are old and bound loosely: until a live one has come, they
 * only prove that this clock is behind.
 */
export class ServerClock {
  #aheadMs = Infinity;
  #openedAt = Infinity;
  #sawLive = false;

  opened(): void {
    this.#openedAt = Date.now();
  }

  observe(type: string, data: unknown): void {
    // What follows a snapshot is live.
    if (type === "snapshot") this.#openedAt = -Infinity;
    const madeAt = Date.parse(String((data as { ts?: unknown } | null)?.ts));
    if (Number.isNaN(madeAt)) return;
    const now = Date.now();
    this.#aheadMs = Math.min(this.#aheadMs, now - madeAt);
    this.#sawLive ||= now - this.#openedAt > REPLAY_MS;
  }

  /** Milliseconds since the epoch, as the server counts them. */
  now(): number {
    return Date.now() - (this.#sawLive ? this.#aheadMs : Math.min(this.#aheadMs, 0));
  }
}

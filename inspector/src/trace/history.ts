import { createContext, useContext } from "react";
import type { Session, Step, StreamEvent } from "stepwire";
import { Store } from "stepwire";

/** So many events are applied at most to come to a moment. */
const CHECKPOINT = 500;

/** All events of a session that the gateway still has, and the session as it was after each of them. */
export class History {
  readonly events: readonly StreamEvent[];
  readonly #session: Session;
  /** Stores' snapshots after 0, 500, 1000 … events. */
  readonly #checkpoints: ReturnType<Store["snapshot"]>[] = [];
  #shown: { at: number; store: Store; past: Session } | null = null;

  private constructor(session: Session, events: readonly StreamEvent[]) {
    this.#session = session;
    this.events = events;
  }

  /** Reads them, up to the present one. */
  static async read(session: Session, signal: AbortSignal): Promise<History> {
    const [epoch, last] = (session.cursor ?? "-0").split("-");
    const events: StreamEvent[] = [];
    for await (const event of session.events({ after: `${epoch}-0`, signal })) {
      events.push(event);
      const [epochNow, seq] = event.id.split("-");
      if (epochNow !== epoch || Number(seq) >= Number(last)) break;
    }
    return new History(session, events);
  }

  /** The events that are about a step or run, with what stands with it. */
  of(id: string): readonly StreamEvent[] {
    return this.events.filter(({ data }) => {
      const { id: own, step_id, run_id, handler } = (data ?? {}) as Record<string, unknown>;
      return own === id || step_id === id || (run_id === id && handler !== undefined);
    });
  }

  /** The session after the first `at` events. */
  after(at: number): Session {
    if (this.#shown === null || this.#shown.at > at) {
      const checkpoint = Math.min(Math.floor(at / CHECKPOINT), Math.max(0, this.#checkpoints.length - 1));
      const store = new Store(this.#checkpoints[checkpoint]);
      store.connectionIs({ state: "closed", attempt: 0, error: null });
      this.#shown = { at: checkpoint * CHECKPOINT, store, past: pastOf(this.#session, store) };
    }
    const { store, past } = this.#shown;
    for (let next = this.#shown.at; next < at; next += 1) {
      if (next % CHECKPOINT === 0) this.#checkpoints[next / CHECKPOINT] ??= store.snapshot();
      store.take(this.events[next]!);
    }
    this.#shown.at = at;
    return past;
  }
}

/** A session in which nothing can be done any more, as of the newest event in its store. */
function pastOf(session: Session, store: Store): Session {
  const refuse = () => Promise.reject(new Error("this is the past: close the history first"));
  const past = {
    id: session.id,
    store,
    get cursor() {
      return store.cursor;
    },
    open: () => past,
    close: () => {},
    serverNow: () => Math.max(0, ...store.steps().slice(-1).map(({ ts }: Step) => Date.parse(ts))),
    events: session.events.bind(session),
    elementUrl: session.elementUrl.bind(session),
    elementBlob: session.elementBlob.bind(session),
    ...Object.fromEntries(["send", "run", "cancel", "resume", "delete", "answer", "click", "rate", "upload"].map((name) => [name, refuse])),
  };
  return past as unknown as Session;
}

export interface HistoryContext {
  /** Shows the session as it was. */
  readonly start: () => void;
  /** All events, read once for all that ask. */
  readonly read: () => Promise<History>;
}

export const Context = createContext<HistoryContext | null>(null);

export function useHistory(): HistoryContext {
  const history = useContext(Context);
  if (!history) throw new Error("there is no history above this component");
  return history;
}

/** The SharedWorker of {@link viaSharedWorker}: holds one stream for each key, and what it has told so far. */
import { Documents, type StreamEvent } from "./documents.js";
import { Http } from "./http.js";
import type { ToTab, ToWorker } from "./shared-worker-client.js";
import type { Connection } from "./store.js";
import { viaFetch } from "./stream.js";
import type { TokenReason } from "./tokens.js";

type Open = Extract<ToWorker, { open: unknown }>["open"];

/** Events that come within this time go to the tabs as one message. */
const GATHER_MS = 10;
/** A tab that does not answer within this time is asleep. */
const ANSWER_MS = 5000;

class SharedStream {
  readonly #documents = new Documents();
  readonly #tabs = new Set<MessagePort>();
  readonly #close: () => void;
  #connection: Connection = { state: "connecting", attempt: 0, error: null };
  #events: StreamEvent[] = [];
  #awaiting: ((token: string | null) => void) | null = null;

  constructor({ baseUrl, session, path, dense, credentials, token, hasTokens }: Open) {
    const getToken = hasTokens ? (reason: TokenReason) => (reason === "first" ? token : this.#ask(reason)) : undefined;
    const http = new Http({ baseUrl, credentials, getToken });
    const event = (event: StreamEvent) => {
      this.#documents.take(event);
      if (this.#events.push(event) === 1) setTimeout(() => this.#flush(), GATHER_MS);
    };
    const connection = (connection: Connection) => {
      this.#flush();
      this.#connection = connection;
      this.#tell({ connection: plain(connection) });
    };
    this.#close = viaFetch({ http, session, path, dense, after: null }, { event, connection, missed: () => this.#tell({ missed: true }) });
  }

  /** A tab that comes later begins with a snapshot of what there is. */
  add(port: MessagePort): void {
    this.#flush();
    this.#tabs.add(port);
    const { cursor } = this.#documents;
    const events = cursor ? [{ id: cursor, type: "snapshot" as const, data: this.#documents.snapshot({}) }] : [];
    say(port, { events });
    say(port, { connection: plain(this.#connection) });
  }

  /** @returns whether it was the last one */
  remove(port: MessagePort): boolean {
    if (!this.#tabs.delete(port) || this.#tabs.size > 0) return false;
    this.#close();
    return true;
  }

  answer(token: string | null): void {
    this.#awaiting?.(token);
  }

  /** The tab that came last knows best, but it may be asleep. */
  async #ask(reason: TokenReason): Promise<string | null> {
    for (const tab of [...this.#tabs].reverse()) {
      const token = await new Promise<string | null>((resolve) => {
        this.#awaiting = resolve;
        setTimeout(resolve, ANSWER_MS, null);
        say(tab, { askToken: reason });
      });
      if (token) return token;
    }
    return null;
  }

  #flush(): void {
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#tell({ events });
  }

  #tell(message: ToTab): void {
    for (const port of this.#tabs) say(port, message);
  }
}

const streams = new Map<string, SharedStream>();
const say = (port: MessagePort, message: ToTab) => port.postMessage(message);

function plain({ error, ...rest }: Connection) {
  const { message, code, status, retryAfterS, problem } = error ?? ({} as NonNullable<Connection["error"]>);
  return { ...rest, error: error && { message, code, status, retryAfterS, problem } };
}

function serve(port: MessagePort): void {
  let key = "";
  const leave = () => {
    if (streams.get(key)?.remove(port)) streams.delete(key);
  };
  port.onmessage = ({ data }: MessageEvent<ToWorker>) => {
    if ("open" in data) {
      leave();
      key = data.open.key;
      const stream = streams.get(key) ?? new SharedStream(data.open);
      streams.set(key, stream);
      stream.add(port);
      void navigator.locks?.request(data.open.lock, leave);
    } else if ("token" in data) streams.get(key)?.answer(data.token);
    else leave();
  };
}

addEventListener("connect", (event) => serve((event as MessageEvent).ports[0]!));

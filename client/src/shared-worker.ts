/** The SharedWorker of {@link viaSharedWorker}: holds one stream for each key, and what it has told so far. */
import { Documents, type StreamEvent } from "./documents.js";
import { Http } from "./http.js";
import { folded } from "./lists.js";
import type { ToTab, ToWorker } from "./shared-worker-client.js";
import type { Connection } from "./store.js";
import { viaFetch } from "./stream.js";
import type { TokenReason } from "./tokens.js";
import type { SessionEntry } from "./vocabulary.js";

type Open = Extract<ToWorker, { open: unknown }>["open"];

/** Events that come within this time go to the tabs as one message. */
const GATHER_MS = 10;
/** The gateway sends no longer list. */
const MOST_LISTED = 200;
/** A tab that does not answer within this time is asleep. */
const ANSWER_MS = 5000;

class SharedStream {
  readonly #documents = new Documents();
  /** Of a list of sessions, what it holds; null: it is a session's stream. */
  #listed: readonly SessionEntry[] | null = null;
  readonly #tabs = new Set<MessagePort>();
  readonly #visible = new Set<MessagePort>();
  readonly #open: () => () => void;
  #close: (() => void) | null = null;
  /** When a tab of it was seen last: a number that rises. */
  #seenAt = 0;
  readonly isMultiplexed: boolean;
  #connection: Connection = { state: "connecting", attempt: 0, error: null };
  #events: StreamEvent[] = [];
  #awaiting: ((token: string | null) => void) | null = null;

  constructor({ baseUrl, session, path, dense, credentials, token, hasTokens, isMultiplexed }: Open) {
    this.isMultiplexed = isMultiplexed;
    const getToken = hasTokens ? (reason: TokenReason) => (reason === "first" ? token : this.#ask(reason)) : undefined;
    const http = new Http({ baseUrl, credentials, getToken });
    const event = (event: StreamEvent) => {
      if (event.type.startsWith("session")) this.#listed = folded(this.#listed ?? [], event.type, event.data, MOST_LISTED);
      else this.#documents.take(event);
      if (this.#events.push(event) === 1) setTimeout(() => this.#flush(), GATHER_MS);
    };
    const connection = (connection: Connection) => {
      this.#flush();
      this.#connection = connection;
      this.#tell({ connection: plain(connection) });
    };
    const missed = () => this.#tell({ missed: true });
    this.#open = () => viaFetch({ http, session, path, dense, after: this.#documents.cursor || null }, { event, connection, missed });
  }

  /** Its priority for one of too few connections: visible streams first, then those that were visible last. */
  get rank(): number {
    return (this.#visible.size > 0 ? 1e9 : 0) + this.#seenAt;
  }

  resume(): void {
    if (this.#connection.state !== "closed") this.#close ??= this.#open();
  }

  /** Gives the connection back; what comes meanwhile is read from the cursor on. */
  pause(): void {
    if (!this.#close) return;
    this.#close();
    this.#close = null;
    this.#flush();
    if (this.#connection.state === "closed") return;
    this.#connection = { state: "idle", attempt: 0, error: null };
    this.#tell({ connection: plain(this.#connection) });
  }

  seen(port: MessagePort, isVisible: boolean): void {
    if (isVisible) {
      this.#visible.add(port);
      this.#seenAt = clock += 1;
    } else this.#visible.delete(port);
  }

  /** A tab that comes later begins with a snapshot of what there is. */
  add(port: MessagePort): void {
    this.#flush();
    this.#tabs.add(port);
    say(port, { events: this.#soFar() });
    say(port, { connection: plain(this.#connection) });
  }

  #soFar(): StreamEvent[] {
    if (this.#listed) return [{ id: "", type: "sessions", data: { sessions: this.#listed, next: null } }];
    const { cursor } = this.#documents;
    return cursor ? [{ id: cursor, type: "snapshot", data: this.#documents.snapshot({}) }] : [];
  }

  /** @returns whether it was the last one */
  remove(port: MessagePort): boolean {
    this.#visible.delete(port);
    if (!this.#tabs.delete(port) || this.#tabs.size > 0) return false;
    this.#close?.();
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

/** Of the six connections that a browser opens to a host over HTTP/1.1, those that streams may hold. */
const MOST_STREAMS = 4;

let clock = 0;
const streams = new Map<string, SharedStream>();

/** Tabs of many sessions must leave connections for requests: the streams of those that are seen stay open. */
function share(): void {
  const ranked = [...streams.values()].sort((a, b) => b.rank - a.rank);
  const bounded = ranked.filter(({ isMultiplexed }) => !isMultiplexed);
  for (const stream of bounded.slice(MOST_STREAMS)) stream.pause();
  for (const stream of ranked) if (stream.isMultiplexed || bounded.indexOf(stream) < MOST_STREAMS) stream.resume();
}
const say = (port: MessagePort, message: ToTab) => port.postMessage(message);

function plain({ error, ...rest }: Connection) {
  const { message, code, status, retryAfterS, problem } = error ?? ({} as NonNullable<Connection["error"]>);
  return { ...rest, error: error && { message, code, status, retryAfterS, problem } };
}

function serve(port: MessagePort): void {
  let key = "";
  const leave = () => {
    if (!streams.get(key)?.remove(port)) return;
    streams.delete(key);
    share();
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
    else if ("isVisible" in data) {
      streams.get(key)?.seen(port, data.isVisible);
      share();
    } else leave();
  };
}

addEventListener("connect", (event) => serve((event as MessageEvent).ports[0]!));

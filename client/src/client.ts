import { Http, type HttpOptions } from "./http.js";
import { Session, type SessionOptions } from "./session.js";
import type { CreatedSession, Snapshot } from "./vocabulary.js";

export interface Options extends HttpOptions, Pick<SessionOptions, "transport" | "schedule" | "pauseHiddenMs"> {}

/** A gateway, and who calls it. */
export class Stepwire {
  readonly #http: Http;
  readonly #options: SessionOptions;

  constructor(options: Options = {}) {
    this.#http = new Http(options);
    const { transport, schedule, pauseHiddenMs } = options;
    this.#options = { transport, schedule, pauseHiddenMs };
  }

  /** A session that is there already. Its stream is not open yet. */
  session(id: string, options: SessionOptions = {}): Session {
    return new Session(this.#http, id, { ...this.#options, ...options });
  }

  /** A new session, or the one of that id; without one, the gateway takes an id that the token opens. */
  async create(id?: string, options: SessionOptions = {}): Promise<Session> {
    const { session_id } = await this.#http.json<CreatedSession>("POST", "/v1/sessions", { id });
    return this.session(session_id, options);
  }

  /** A session at this moment: for a server that renders it, or to look at it once. */
  snapshot(id: string, signal?: AbortSignal): Promise<Snapshot> {
    return this.#http.json("GET", `/v1/sessions/${encodeURIComponent(id)}`, undefined, signal);
  }
}

import { problemOf, StepwireError } from "./errors.js";
import { Tokens, type GetToken } from "./tokens.js";

export interface HttpOptions {
  /** Where the gateway is, as in `https://stepwire.example`; by default the page's own origin. */
  readonly baseUrl?: string | undefined;
  /** Where tokens come from. Without it the gateway is open, or the browser has a cookie for it. */
  readonly getToken?: GetToken | undefined;
  /** Another `fetch`, as where the platform's own cannot stream. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** `include`: cookies go to a gateway of another origin too. */
  readonly credentials?: RequestCredentials | undefined;
  /** How long a request may wait for its answer; uploads and streams may take longer. */
  readonly timeoutMs?: number | undefined;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Infinity: it may take any time. */
  readonly timeoutMs?: number;
  /** By other means than the client's. */
  readonly fetch?: Fetch | undefined;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const TIMEOUT_MS = 20_000;

/** Requests to one gateway, with tokens, time limits, and errors of one kind. */
export class Http {
  readonly baseUrl: string;
  readonly tokens: Tokens;
  readonly credentials: RequestCredentials | undefined;
  readonly #fetch: Fetch;
  readonly #timeoutMs: number;

  constructor(options: HttpOptions) {
    this.baseUrl = (options.baseUrl ?? globalThis.location?.origin ?? "").replace(/\/+$/, "");
    this.tokens = new Tokens(options.getToken);
    this.credentials = options.credentials;
    this.#fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /** The address of a path of the gateway, without a token; what is an address already stays it. */
  url(path: string): string {
    return path.startsWith("/") ? this.baseUrl + path : path;
  }

  /** An address with the present token, for what a browser opens by itself. */
  openUrl(path: string): string {
    const token = this.tokens.current;
    return token ? `${this.url(path)}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}` : this.url(path);
  }

  /** The JSON that the gateway answers a request with. */
  async json<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const headers = { accept: "application/json", "content-type": "application/json" };
    const response = await this.call(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  /**
   * An answer that is 2xx. A token that is refused is replaced once.
   *
   * @throws {StepwireError} for any other answer, or none
   */
  async call(path: string, call: Call = {}): Promise<Response> {
    // An element may be at another site, which must not learn the token.
    const isOurs = path.startsWith("/");
    const token = isOurs ? await this.#token(() => this.tokens.take()) : null;
    let response = await this.#send(path, call, token);
    if (isOurs && response.status === 401) {
      const another = await this.#token(() => this.tokens.replace(token));
      if (another) {
        void response.body?.cancel();
        response = await this.#send(path, call, another);
      }
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async #token(get: () => Promise<string | null>): Promise<string | null> {
    try {
      return await get();
    } catch (error) {
      throw new StepwireError(`getToken: ${error}`, "no_token");
    }
  }

  async #send(path: string, { method = "GET", headers = {}, body, signal, timeoutMs = this.#timeoutMs, fetch = this.#fetch }: Call, token: string | null): Promise<Response> {
    const limit = new AbortController();
    const abort = () => limit.abort();
    signal?.addEventListener("abort", abort);
    const timer = timeoutMs === Infinity ? undefined : setTimeout(abort, timeoutMs);
    try {
      signal?.throwIfAborted();
      return await fetch(this.url(path), {
        method,
        headers: token ? { ...headers, authorization: `Bearer ${token}` } : headers,
        body: body ?? null,
        signal: limit.signal,
        ...(this.credentials && { credentials: this.credentials }),
      });
    } catch (error) {
      throw failure(error, signal, limit.signal, timeoutMs);
    } finally {
      clearTimeout(timer);
      // A stream that is read goes on to end with its caller's signal.
      if (timeoutMs !== Infinity) signal?.removeEventListener("abort", abort);
    }
  }
}

function failure(error: unknown, caller: AbortSignal | undefined, limit: AbortSignal, timeoutMs: number): StepwireError {
  if (caller?.aborted) return new StepwireError("aborted", "aborted");
  if (!limit.aborted) return new StepwireError(`network or CORS: ${error}`, "unreachable");
  return new StepwireError(
    `no answer in ${timeoutMs / 1000} s; many tabs? see viaSharedWorker`,
    "no_answer",
  );
}

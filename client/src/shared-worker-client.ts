import type { StreamEvent } from "./documents.js";
import { StepwireError } from "./errors.js";
import type { Connection } from "./store.js";
import { viaFetch, type Transport } from "./stream.js";
import { claimsOf, type TokenReason } from "./tokens.js";

/** The messages of a tab to the worker. */
export type ToWorker =
  | {
      readonly open: {
        /** Tabs with the same key share a stream. */
        readonly key: string;
        readonly baseUrl: string;
        readonly session: string;
        readonly path: string;
        readonly dense: boolean;
        readonly credentials: RequestCredentials | undefined;
        readonly token: string | null;
        readonly hasTokens: boolean;
        /** Whether any number of streams fit into the browser's connection to that gateway. */
        readonly isMultiplexed: boolean;
        /** The tab holds this lock while it lives. */
        readonly lock: string;
      };
    }
  | { readonly token: string | null }
  | { readonly isVisible: boolean }
  | { readonly close: true };

/** The messages of the worker to a tab. */
export type ToTab =
  | { readonly events: readonly StreamEvent[] }
  | { readonly connection: Omit<Connection, "error"> & { readonly error: WireError | null } }
  | { readonly missed: true }
  | { readonly askToken: TokenReason };

export type WireError = Pick<StepwireError, "message" | "code" | "status" | "retryAfterS" | "problem">;

let tabs = 0;

/**
 * One stream for all tabs of a browser that show the same session for the same subject, in a SharedWorker.
 * Six tabs that each hold a stream leave an HTTP/1.1 browser no connection for anything else. So of tabs with
 * different sessions, four have their stream at a time, those that are seen first; the others are `idle`, and go on
 * from where they were. Over HTTP/2, all have one.
 *
 * Without SharedWorker (Node, Chrome on Android), each page has a stream of its own.
 *
 * @param start how to start the worker, for bundlers that do not know `new URL(…, import.meta.url)`
 */
export function viaSharedWorker(
  start = () => new SharedWorker(new URL("./shared-worker.js", import.meta.url), { type: "module", name: "stepwire" }),
): Transport {
  return (options, listener) => {
    if (typeof SharedWorker === "undefined") return viaFetch(options, listener);
    const { http, session, path, dense } = options;
    const { port } = start();
    const say = (message: ToWorker) => port.postMessage(message);
    const leaving = new AbortController();
    port.onmessage = ({ data }: MessageEvent<ToTab>) => {
      if (leaving.signal.aborted) return;
      if ("events" in data) data.events.forEach((event) => listener.event(event));
      else if ("missed" in data) listener.missed();
      else if ("connection" in data) listener.connection({ ...data.connection, error: revived(data.connection.error) });
      else void token(data.askToken).then((token) => say({ token }));
    };
    // What the worker was given may be another tab's: a refusal is of all that was known.
    const token = (reason: TokenReason) =>
      (reason === "refused" ? http.tokens.replace(http.tokens.current) : http.tokens.take()).catch(() => null);
    const open = async () => {
      const token = await http.tokens.take().catch(() => null);
      const subject = claimsOf(token)["sub"] ?? token;
      const lock = `stepwire-${Date.now()}-${Math.random()}-${(tabs += 1)}`;
      // A tab that dies says nothing; its lock is free then.
      await new Promise<void>((resolve) => {
        if (!navigator.locks) return resolve();
        const held = new Promise<void>((free) => leaving.signal.addEventListener("abort", () => free()));
        void navigator.locks.request(lock, () => (resolve(), held));
      });
      if (leaving.signal.aborted) return;
      const key = JSON.stringify([http.baseUrl, path, subject, http.credentials]);
      say({ open: { key, baseUrl: http.baseUrl, session, path, dense, credentials: http.credentials, token, hasTokens: token !== null, isMultiplexed: isMultiplexed(http.baseUrl), lock } });
      // Only now is it known which streams are seen, and which of them get a connection.
      look();
    };
    const leave = () => say({ close: true });
    const look = () => say({ isVisible: !document.hidden });
    document.addEventListener("visibilitychange", look);
    // The page may come back from the back-forward cache.
    const comeBack = (event: PageTransitionEvent) => event.persisted && void open();
    addEventListener("pagehide", leave);
    addEventListener("pageshow", comeBack);
    void open();
    return () => {
      removeEventListener("pagehide", leave);
      removeEventListener("pageshow", comeBack);
      document.removeEventListener("visibilitychange", look);
      leaving.abort();
      leave();
      port.close();
    };
  };
}

/** Known of the page's own origin alone: it came over that connection. */
function isMultiplexed(baseUrl: string): boolean {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return baseUrl.startsWith(location.origin) && /^h[23]/.test(page?.nextHopProtocol ?? "");
}

function revived(error: WireError | null): StepwireError | null {
  return error && new StepwireError(error.message, error.code, error.status, error.retryAfterS, error.problem);
}

import { StepwireError } from "./errors.js";
import { backoffMs, pause, type StreamListener, type StreamOptions, type Transport } from "./stream.js";
import { following } from "./cursor.js";
import { EVENTS } from "./vocabulary.js";

/**
 * The stream over the browser's `EventSource`, for pages whose policies let through nothing else.
 *
 * It says neither why it was refused (the session is asked then), nor that events were missing: an
 * event of a type that this version does not know is not handed over, and would look the same. The
 * token is part of the address.
 */
export const viaEventSource: Transport = (options, listener) => {
  const leaving = new AbortController();
  void keepOpen(options, listener, leaving.signal);
  return () => leaving.abort();
};

async function keepOpen(options: StreamOptions, listener: StreamListener, signal: AbortSignal): Promise<void> {
  let cursor = options.after ?? "";
  let failures = 0;
  const take = (event: MessageEvent<string>) => {
    const { type, lastEventId } = event;
    if (type !== "snapshot" && following(cursor, lastEventId) === "again") return;
    cursor = lastEventId;
    failures = 0;
    listener.event({ id: lastEventId, type, data: JSON.parse(event.data) as unknown });
  };
  while (!signal.aborted) {
    let error: StepwireError | null = null;
    try {
      await options.http.tokens.take();
      await untilItGivesUp(options, cursor, failures, take, listener, signal);
      if (signal.aborted) return;
      await options.http.call(options.session);
    } catch (caught) {
      error = caught instanceof StepwireError ? caught : new StepwireError(String(caught), "unreachable");
    }
    if (signal.aborted) return;
    failures += 1;
    const isOver = error !== null && !error.passes;
    listener.connection({ state: isOver ? "closed" : "reconnecting", attempt: failures, error });
    if (isOver) return;
    await pause(error?.retryAfterS == null ? backoffMs(failures) : error.retryAfterS * 1000, signal);
  }
}

/** It comes back by itself from much, and stops for good on any status but 200 (WHATWG HTML, 9.2.3). */
function untilItGivesUp(
  { http, path }: StreamOptions, cursor: string, attempt: number, take: (event: MessageEvent<string>) => void,
  listener: StreamListener, signal: AbortSignal,
): Promise<void> {
  listener.connection({ state: cursor ? "reconnecting" : "connecting", attempt, error: null });
  const url = http.openUrl(cursor ? `${path}${path.includes("?") ? "&" : "?"}after=${cursor}` : path);
  const source = new EventSource(url, { withCredentials: http.credentials === "include" });
  return new Promise((resolve) => {
    const close = () => {
      source.close();
      signal.removeEventListener("abort", close);
      resolve();
    };
    signal.addEventListener("abort", close);
    source.onopen = () => listener.connection({ state: "live", attempt: 0, error: null });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) close();
      else listener.connection({ state: "reconnecting", attempt, error: null });
    };
    for (const type of Object.keys(EVENTS)) source.addEventListener(type, take as EventListener);
  });
}

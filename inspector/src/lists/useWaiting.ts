import { useCallback, useEffect, useRef, useState } from "react";
import type { Store, WaitingRun } from "stepwire";
import { useStore } from "stepwire/react";
import { useSession } from "../app/session";
import { useVisible } from "./useSessions";

const FIRST_MS = 400;
const EVERY_MS = 3000;
/** Of what stands at the top: messages wait in their order, so one that waits is among the last. */
const LAST = 50;

/**
 * The runs of the session that wait. The gateway is asked when the page comes, when a message has no run, and while
 * something waits; a run that begins within moments is not asked about.
 */
export function useWaiting(): readonly WaitingRun[] {
  const session = useSession();
  const isLive = useStore("connection", (store) => store.connection().state === "live");
  const missing = useStore("rows", unbegun);
  const begun = useStore("runs", (store) => store.runs().length);
  const isVisible = useVisible();
  const [waiting, setWaiting] = useState<readonly WaitingRun[]>([]);
  const isTold = useRef(true);
  const ask = useCallback(async (signal: AbortSignal) => {
    try {
      const found = await session.waiting(signal);
      if (!signal.aborted) setWaiting(found);
    } catch {
      // The stream says what is wrong with the gateway; an older one does not know the question.
      if (!signal.aborted) setWaiting([]);
    }
  }, [session]);
  const isAsking = isLive && isVisible && (missing !== "" || waiting.length > 0 || isTold.current);
  useEffect(() => {
    if (!isAsking) return;
    isTold.current = false;
    const leaving = new AbortController();
    const first = setTimeout(() => void ask(leaving.signal), FIRST_MS);
    const timer = setInterval(() => void ask(leaving.signal), EVERY_MS);
    return () => {
      leaving.abort();
      clearTimeout(first);
      clearInterval(timer);
    };
  }, [ask, isAsking, missing, begun]);
  return waiting;
}

/** The runs of the last messages that have not begun, as one word that changes when they do. */
function unbegun(store: Store): string {
  return store.derive("lists:unbegun", () => {
    const open: string[] = [];
    const top = store.children(null);
    for (let at = top.length - 1; at >= Math.max(0, top.length - LAST); at -= 1) {
      const step = top[at]!.kind === "step" ? store.step(top[at]!.id) : undefined;
      if (step?.type === "user_message" && step.run_id !== null && !store.run(step.run_id)) open.push(step.run_id);
    }
    return open.join(" ");
  });
}

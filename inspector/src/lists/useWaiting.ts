import { useEffect, useState } from "react";
import type { Store, WaitingRun } from "stepwire";
import { useStore } from "stepwire/react";
import { useSession } from "../app/session";
import { useVisible } from "./useSessions";

const FIRST_MS = 400;
const EVERY_MS = 3000;
const IDLE_EVERY_MS = 15_000;
const NONE: readonly WaitingRun[] = [];
/** Of what stands at the top: messages wait in their order, so one that waits is among the last. */
const LAST = 50;

/**
 * The runs of the session that wait. The gateway is asked soon after a message that has no run yet, again and again
 * while something waits, and now and then for what others have asked for. A run that begins within moments is not
 * asked about.
 */
export function useWaiting(): readonly WaitingRun[] {
  const session = useSession();
  const isLive = useStore("connection", (store) => store.connection().state === "live");
  const missing = useStore("rows", unbegun);
  const isVisible = useVisible();
  const [waiting, setWaiting] = useState<readonly WaitingRun[]>(NONE);
  const isBusy = missing !== "" || waiting.length > 0;
  useEffect(() => {
    if (!isLive || !isVisible) return;
    const leaving = new AbortController();
    const ask = async () => {
      try {
        const found = await session.waiting(leaving.signal);
        if (!leaving.signal.aborted) setWaiting((before) => (found.length === 0 && before.length === 0 ? before : found));
      } catch {
        // The stream says what is wrong with the gateway; an older one does not know the question.
        if (!leaving.signal.aborted) setWaiting(NONE);
      }
    };
    const first = setTimeout(() => void ask(), FIRST_MS);
    const timer = setInterval(() => void ask(), isBusy ? EVERY_MS : IDLE_EVERY_MS);
    return () => {
      leaving.abort();
      clearTimeout(first);
      clearInterval(timer);
    };
  }, [session, isLive, isVisible, missing, isBusy]);
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

import { useEffect } from "react";
import { announce } from "../app/announce";
import { useSession } from "../app/session";
import { useTrace } from "./context";

const MOST_CHARS = 300;
/** So far back an answer is looked for that has just been finished. */
const NEAR = 60;

/** Says what happens to who does not see it: runs that begin and end, answers, questions; no tokens. */
export function Announcements() {
  const { store } = useSession();
  const { items } = useTrace();
  useEffect(() => {
    let isFirst = true;
    const told = new Map<string, string>();
    /** Once for each thing and state; what was there before is old news. */
    const tell = (id: string, state: string, words: () => string) => {
      if (told.get(id) === state) return;
      told.set(id, state);
      if (!isFirst) announce(words());
    };
    const look = () => {
      if (store.cursor === null) return;
      for (const { run_id, handler, status, attempt, will_retry } of store.runs()) {
        tell(run_id, `${status} ${attempt}`, () => (status === "running" ? `${handler} has started` : `${handler}: ${status}${will_retry ? ", will be tried again" : ""}`));
      }
      for (const { kind, id } of items.list.slice(-NEAR)) {
        const step = kind === "message" ? store.step(id) : undefined;
        if (step && step.type !== "user_message" && step.status !== "running") tell(id, step.status, () => `${step.name}: ${step.output.slice(0, MOST_CHARS)}`);
      }
      for (const { id, status, step_id, actions } of store.asks()) {
        tell(id, status, () =>
          status === "open"
            ? `Question: ${store.step(step_id)?.output.slice(0, MOST_CHARS) ?? ""} ${actions.map(({ label }) => label).join(", ")}`
            : `The question is over: ${status}`);
      }
      isFirst = false;
    };
    look();
    const leave = [store.subscribe("rows", look), store.subscribe("runs", look), store.subscribe("asks", look)];
    return () => leave.forEach((each) => each());
  }, [store, items]);
  return null;
}

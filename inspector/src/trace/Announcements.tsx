import { useEffect } from "react";
import { announce } from "../app/announce";
import { useSession } from "../app/session";
import { useTrace } from "./context";

const MOST_CHARS = 300;
/** So far back an answer is looked for that has just been finished. */
const NEAR = 60;

/** Says answers to who does not see them, once they are whole. Runs and questions are said by talk/Notices.tsx. */
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
      for (const { message, id } of items.list.slice(-NEAR)) {
        const step = message ? store.step(id) : undefined;
        if (step && step.type !== "user_message" && step.status !== "running") tell(id, step.status, () => `${step.name}: ${step.output.slice(0, MOST_CHARS)}`);
      }
      isFirst = false;
    };
    look();
    return store.subscribe("rows", look);
  }, [store, items]);
  return null;
}

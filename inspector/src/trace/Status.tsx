import { useConnection, useStore } from "stepwire/react";
import { useNowAndThen } from "../app/session";
import { count } from "../app/words";
import { Usage } from "../content";

const WORDS = { idle: "Paused", connecting: "Connecting…", live: "Live", reconnecting: "Reconnecting…", closed: "Closed" } as const;

/** How the stream is doing, and what the session has. */
export function Status() {
  const { state, error, attempt } = useConnection();
  const gaps = useStore("connection", (store) => store.gaps());
  const steps = useNowAndThen("rows", ({ size }) => size);
  return (
    <footer className="status" id="status" data-connection={state} data-gaps={gaps}>
      <span className="status-connection"><span className="status-dot" />{WORDS[state]}{state === "reconnecting" && attempt > 1 && ` (try ${attempt})`}</span>
      {state === "reconnecting" && error && <span>{error.message}</span>}
      <span data-part="steps">{count(steps, "step")}</span>
      <span data-part="usage"><Usage stepId={null} /></span>
      <span data-part="gaps">{gaps === 0 ? "no gaps" : count(gaps, "gap")}</span>
      <Cursor />
    </footer>
  );
}

function Cursor() {
  const cursor = useNowAndThen("any", (store) => store.cursor);
  return <code data-part="cursor" title="cursor">{cursor}</code>;
}

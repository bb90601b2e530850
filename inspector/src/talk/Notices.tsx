import { useEffect, useState } from "react";
import type { Ask, Run, Session } from "stepwire";
import { announce } from "../app/announce";
import { kept } from "../app/root";
import { useSession } from "../app/session";
import { beginning } from "../app/words";
import { Icon } from "../design/Icon";
import { nameOfHandler, runEnd } from "./words";

const wish = kept("notify");
const isPossible = () => "Notification" in globalThis && isSecureContext;
const CHANGED = "stepwire:notify";

/** Whether the person wants to be told outside of the page. */
const isWanted = () => isPossible() && Notification.permission === "granted" && wish.get() === "yes";

/** The browser asks for its permission only when the person has asked for this. */
export function NotifyButton() {
  const [wanted, setWanted] = useState(isWanted);
  const [denied, setDenied] = useState(() => isPossible() && Notification.permission === "denied");
  if (!isPossible()) return null;
  const press = async () => {
    const permission = wanted ? "granted" : await Notification.requestPermission();
    wish.set(!wanted && permission === "granted" ? "yes" : null);
    setDenied(permission === "denied");
    setWanted(isWanted());
    dispatchEvent(new Event(CHANGED));
  };
  const label = denied ? "Notifications are blocked in this browser" : "Notify me of questions and ends while I look elsewhere";
  return (
    <button type="button" className="button quiet icon-only" aria-label={label} title={label} aria-pressed={wanted} aria-disabled={denied || undefined} onClick={() => !denied && void press()}><Icon name="bell" /></button>
  );
}

/** Says what begins, ends and waits: to screen readers, in the title, and as notifications of a page that is hidden. */
export function Notices() {
  const session = useSession();
  useEffect(() => watched(session), [session]);
  return null;
}

function watched(session: Session): () => void {
  const { store } = session;
  const runs = new Map<string, string>();
  const asks = new Set<string>();
  const base = `${session.id} · stepwire`;
  let news = "";
  let isKnown = false;

  const title = () => {
    const waits = store.asks().some(({ status }) => status === "open");
    document.title = waits ? `(?) ${base}` : news && document.hidden ? `${news} ${base}` : base;
  };
  const look = () => {
    if (store.cursor === null) return;
    for (const run of store.runs()) {
      const state = run.will_retry ? "waiting" : run.status;
      const before = runs.get(run.run_id);
      runs.set(run.run_id, state);
      // What was there when the page came is no news, and a part is of its run.
      if (isKnown && before !== state && run.parent_run_id === null) heard(run, before);
    }
    for (const ask of store.asks()) {
      if (ask.status !== "open" || asks.has(ask.id)) continue;
      asks.add(ask.id);
      if (isKnown) asked(ask);
    }
    isKnown = true;
    leaveRows();
    title();
  };
  const heard = (run: Run, before: string | undefined) => {
    if (run.status === "running") {
      if (before === undefined) announce(`${nameOfHandler(run.handler)} begins`);
      return;
    }
    if (run.will_retry) return announce(`${nameOfHandler(run.handler)} is tried again`);
    const words = runEnd(run.handler, run.status);
    announce(words);
    if (!document.hidden) return;
    news = run.status === "ok" ? "✓" : "✗";
    notify(words, run.error?.message ?? "");
  };
  const asked = (ask: Ask) => {
    const question = beginning(store.step(ask.step_id)?.output ?? "");
    announce(`A question: ${question}`);
    if (document.hidden) notify("A question waits for you", question);
  };
  const notify = (words: string, body: string) => {
    if (!isWanted()) return;
    const shown = new Notification(words, { body: beginning(body, 200), tag: `stepwire ${session.id}` });
    shown.onclick = () => {
      globalThis.focus();
      shown.close();
    };
  };
  const seen = () => {
    if (!document.hidden) news = "";
    title();
  };
  // A session in which nothing has run yet is known with its first snapshot.
  const leaveRows = store.subscribe("rows", () => isKnown || look());
  const leave = [leaveRows, store.subscribe("runs", look), store.subscribe("asks", look)];
  look();
  document.addEventListener("visibilitychange", seen);
  return () => {
    for (const each of leave) each();
    document.removeEventListener("visibilitychange", seen);
    document.title = base;
  };
}

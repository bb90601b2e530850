import { useState } from "react";
import { Operations, SessionList } from "../lists";
import { go, useAddress } from "./address";
import { ANNOUNCER } from "./announce";
import { Fault } from "./Fault";
import { Header } from "./Header";
import { PageFaults } from "./PageFaults";
import { Start } from "./Start";
import { Workspace } from "./Workspace";

export function App() {
  const { session, view } = useAddress();
  const [isListOpen, setListOpen] = useState(false);
  const open = (id: string) => {
    setListOpen(false);
    go({ session: id });
  };
  return (
    <Fault what="this session" of={session}>
      <div className="app" data-list={isListOpen || undefined}>
        <Header isListOpen={isListOpen} onSessions={() => setListOpen(!isListOpen)} />
        <nav className="app-list" id="sessions" aria-label="Sessions">
          <Fault what="the sessions"><SessionList current={session} onOpen={open} /></Fault>
        </nav>
        {session !== null ? <Workspace key={session} id={session} /> : view === "operations" ? <main className="app-operations"><Fault what="the operations"><Operations /></Fault></main> : <Start />}
        <PageFaults />
        <div id={ANNOUNCER} className="visually-hidden" aria-live="polite" />
      </div>
    </Fault>
  );
}

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Session } from "stepwire";
import { SessionProvider, useConnection, useSession as useSessionOf } from "stepwire/react";
import { ElementPanel } from "../content";
import { Sidebar, Talk } from "../talk";
import { Detail, History, HistoryContext, Scrubber, Status, Trace } from "../trace";
import { useAddress } from "./address";
import { Fault } from "./Fault";
import { client } from "./gateway";
import { forget, remember } from "./recent";
import { useSession } from "./session";
import { takeToken } from "./token";

/** One session: its trace and conversation, the step that is looked at, and what the person writes. */
export function Workspace({ id }: { readonly id: string }) {
  const session = useSessionOf(client, id);
  useEffect(() => {
    const before = document.title;
    document.title = `${id} · stepwire`;
    return () => {
      document.title = before;
    };
  }, [id]);
  useEffect(() => {
    // A new fragment alone loads no page, and what was asked for with the token before is not to be mixed with what follows.
    const another = () => takeToken() && location.reload();
    addEventListener("hashchange", another);
    return () => removeEventListener("hashchange", another);
  }, []);
  return (
    <SessionProvider session={session}>
      <Shown />
    </SessionProvider>
  );
}

function Shown() {
  const session = useSession();
  const { step } = useAddress();
  const { state, error } = useConnection();
  const [past, setPast] = useState<Session | null>(null);
  const [isScrubbing, setScrubbing] = useState(false);
  useEffect(() => {
    if (state === "live") remember(session.id);
    else if (error?.code === "session_not_found") forget(session.id);
  }, [session, state, error]);
  const read = useReading(session);
  const history = useMemo(() => ({ read, start: () => setScrubbing(true) }), [read]);
  const backToNow = () => {
    setScrubbing(false);
    setPast(null);
  };
  return (
    <HistoryContext value={history}>
      <main className="workspace" data-detail={step !== null || undefined} data-past={past !== null || undefined}>
        <div className="workspace-middle">
          <SessionProvider session={past ?? session}><Fault what="the trace" of={past}><Trace /></Fault></SessionProvider>
          {isScrubbing ? <Scrubber read={read} onPast={setPast} onClose={backToNow} /> : <Fault what="the box for messages"><Talk /></Fault>}
          <Status />
        </div>
        <SessionProvider session={past ?? session}>
          <Fault what="the sidebar" of={past}><Sidebar /></Fault>
          <Fault what="this element" of={past}><ElementPanel /></Fault>
          {step !== null && <Fault what="this step" of={step}><Detail id={step} /></Fault>}
        </SessionProvider>
      </main>
    </HistoryContext>
  );
}

/** Reads all events of a session, once for all that ask as long as there are no new ones. */
function useReading(session: Session): () => Promise<History> {
  const known = useRef<{ cursor: string | null; history: Promise<History> } | null>(null);
  return useCallback(() => {
    if (known.current?.cursor !== session.cursor) {
      const history = History.read(session, AbortSignal.timeout(60_000));
      known.current = { cursor: session.cursor, history };
      // One that failed is tried again.
      history.catch(() => (known.current = null));
    }
    return known.current!.history;
  }, [session]);
}

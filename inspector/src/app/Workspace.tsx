import { useEffect, useMemo } from "react";
import { SessionProvider, useConnection, useSession as useSessionOf } from "stepwire/react";
import { Sidebar, Talk } from "../talk";
import { Detail, Status, Trace } from "../trace";
import { useAddress } from "./address";
import { Fault } from "./Fault";
import { client } from "./gateway";
import { forget, remember } from "./recent";

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
  return (
    <SessionProvider session={session}>
      <Session id={id} />
    </SessionProvider>
  );
}

function Session({ id }: { readonly id: string }) {
  const { step } = useAddress();
  const { state, error } = useConnection();
  useEffect(() => {
    if (state === "live") remember(id);
    else if (error?.code === "session_not_found") forget(id);
  }, [id, state, error]);
  const key = useMemo(() => ({}), [id]);
  return (
    <main className="workspace" data-detail={step !== null || undefined}>
      <div className="workspace-middle">
        <Fault what="the trace" of={key}><Trace /></Fault>
        <Fault what="the box for messages" of={key}><Talk /></Fault>
        <Status />
      </div>
      <Fault what="the sidebar" of={key}><Sidebar /></Fault>
      {step !== null && <Fault what="this step" of={step}><Detail id={step} /></Fault>}
    </main>
  );
}

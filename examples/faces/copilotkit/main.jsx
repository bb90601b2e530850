// A chat of CopilotKit's own components. The runtime is a stepwire gateway: nothing stands between, and nothing hosted.
import { useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { CopilotChat, CopilotKit, useInterrupt, useThreads } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";

const gateway = new URLSearchParams(location.search).get("gateway") ?? "http://127.0.0.1:8000";
if (location.hash === "") location.hash = crypto.randomUUID();

const useHash = () => useSyncExternalStore(
  (changed) => { addEventListener("hashchange", changed); return () => removeEventListener("hashchange", changed); },
  () => location.hash.slice(1),
);

// What a handler asks: a text, or one of its actions.
function Question({ interrupt, resolve, cancel }) {
  const [text, setText] = useState("");
  const actions = interrupt?.metadata?.stepwire?.actions ?? [];
  if (actions.length > 0) {
    return <p>{actions.map(({ id, label, name }) => <button key={id} onClick={() => resolve({ action: id })}>{label || name}</button>)}</p>;
  }
  return (
    <form onSubmit={(event) => { event.preventDefault(); resolve({ content: text }); }}>
      <input aria-label="Answer" value={text} onChange={({ target }) => setText(target.value)} />
      <button>Answer</button>
      <button type="button" onClick={() => cancel()}>Cancel</button>
    </form>
  );
}

function Threads({ current }) {
  const { threads } = useThreads({ agentId: "default" });
  return (
    <nav aria-label="Threads">
      <p><a href={`#${crypto.randomUUID()}`}>New</a></p>
      {threads.map(({ id, name }) => <p key={id}><a href={`#${id}`} aria-current={id === current}>{name ?? "Untitled"}</a></p>)}
    </nav>
  );
}

function Page() {
  const thread = useHash();
  useInterrupt({ agentId: "default", render: (props) => <Question {...props} /> });
  return (
    <>
      <Threads current={thread} />
      <main><CopilotChat agentId="default" threadId={thread} /></main>
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <CopilotKit runtimeUrl={`${gateway}/copilotkit`} enableInspector={false}>
    <Page />
  </CopilotKit>,
);

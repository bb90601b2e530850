// assistant-ui on its external store runtime, through stepwire's own client: the threads are the sessions of the gateway.
import { AssistantRuntimeProvider, ThreadListItemPrimitive, ThreadListPrimitive, useExternalStoreRuntime } from "@assistant-ui/react";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Stepwire } from "stepwire";
import { Lists } from "stepwire/lists";
import { SessionProvider, useCurrentSession, useSession, useStore } from "stepwire/react";
import { isRunning, messagesOf } from "./messages.js";
import { Thread } from "./thread.jsx";

const baseUrl = new URLSearchParams(location.search).get("gateway") ?? "";
const client = new Stepwire({ baseUrl });
const lists = new Lists({ baseUrl });

function useThreads() {
  const [threads, show] = useState();
  useEffect(() => {
    const leaving = new AbortController();
    const watch = async () => {
      for await (const sessions of lists.watch({ limit: 20, signal: leaving.signal })) {
        show(sessions.map(({ id, title }) => ({ id, status: "regular", title: title ?? undefined })));
      }
    };
    watch().catch((error) => leaving.signal.aborted || console.error(error));
    return () => leaving.abort();
  }, []);
  return threads;
}

function Chat({ open }) {
  const session = useCurrentSession();
  const threads = useThreads();
  const { store } = session;
  const runtime = useExternalStoreRuntime({
    messages: useStore("any", messagesOf),
    isRunning: useStore("any", isRunning),
    convertMessage: (message) => message,
    onNew: async ({ content }) => {
      await session.send(content.map(({ text }) => text ?? "").join(""));
    },
    onReload: async (messageId) => {
      const run = store.runs().findLast(({ message_id }) => message_id === messageId);
      if (run) await session.retry(run.run_id);
    },
    onCancel: async () => {
      await Promise.all(store.runs().filter(({ ended_at }) => ended_at === null).map(({ run_id }) => session.cancel(run_id)));
    },
    adapters: {
      threadList: {
        threadId: session.id,
        isLoading: threads === undefined,
        threads,
        onSwitchToThread: open,
        onSwitchToNewThread: async () => open((await client.create()).id),
        onDelete: (id) => client.session(id).delete(),
      },
    },
  });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadListPrimitive.Root className="threads">
        <ThreadListPrimitive.New>New thread</ThreadListPrimitive.New>
        <ThreadListPrimitive.Items components={{ ThreadListItem }} />
      </ThreadListPrimitive.Root>
      <Thread answer={(ask, given) => session.answer(ask.id, given)} />
    </AssistantRuntimeProvider>
  );
}

const ThreadListItem = () => (
  <ThreadListItemPrimitive.Root>
    <ThreadListItemPrimitive.Trigger><ThreadListItemPrimitive.Title fallback="New thread" /></ThreadListItemPrimitive.Trigger>
  </ThreadListItemPrimitive.Root>
);

function App({ first }) {
  const [id, show] = useState(first);
  const open = (next) => {
    location.hash = next;
    show(next);
  };
  return <SessionProvider session={useSession(client, id)}><Chat open={open} /></SessionProvider>;
}

const { id } = await client.create(location.hash.slice(1) || undefined);
location.hash = id;
createRoot(document.getElementById("root")).render(<StrictMode><App first={id} /></StrictMode>);

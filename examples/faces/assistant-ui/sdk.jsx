// assistant-ui on its AI SDK runtime, on a gateway with STEPWIRE_FACES=aisdk.
import { useChat } from "@ai-sdk/react";
import { AssistantRuntimeProvider } from "@assistant-ui/react";
import { useAISDKRuntime } from "@assistant-ui/react-ai-sdk";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Thread } from "./thread.jsx";

const api = `${new URLSearchParams(location.search).get("gateway") ?? ""}/aisdk/chat`;
const id = location.hash.slice(1) || crypto.randomUUID();
location.hash = id;

const post = (path, body = {}) => fetch(`${api}/${id}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

function Chat({ messages }) {
  const chat = useChat({
    id, messages, resume: true,
    transport: new DefaultChatTransport({ api: `${api}?approvals=true` }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  // Its stop() only stops reading: the answer would go on, for the next page that resumes it.
  const stop = async () => {
    await post("stop");
    await chat.stop();
  };
  const runtime = useAISDKRuntime({ ...chat, stop });
  return <AssistantRuntimeProvider runtime={runtime}><Thread answer={(ask, given) => post(`asks/${ask.id}`, given)} /></AssistantRuntimeProvider>;
}

const response = await fetch(`${api}/${id}/messages`);
createRoot(document.getElementById("root")).render(<StrictMode><Chat messages={await response.json()} /></StrictMode>);

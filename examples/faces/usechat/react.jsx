// useChat as it comes, on a gateway with STEPWIRE_FACES=aisdk.
import { useChat } from "@ai-sdk/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { answer, cancel, depth, options } from "./chat.js";

function Part({ part, parts }) {
  switch (part.type) {
    case "text":
      return <span className="text">{part.text}</span>;
    case "dynamic-tool":
      return <p className="tool">{part.toolName}: {part.state === "output-available" ? JSON.stringify(part.output) : part.errorText ?? "…"}</p>;
    case "data-step":
      return part.data.removed ? null : <p className="step" style={{ paddingLeft: `${depth(part.data, parts)}em` }}>{part.data.name} {part.data.status}</p>;
    case "data-ask":
      return part.data.status === "open" ? <Field label="Answer" send={(content) => answer(part.data, content)} /> : null;
    case "file":
      return <p><a href={part.url}>{part.mediaType}</a></p>;
    default:
      return null;
  }
}

function Field({ label, send }) {
  const [text, write] = useState("");
  const submit = (event) => {
    event.preventDefault();
    send(text);
    write("");
  };
  return (
    <form onSubmit={submit}>
      <input aria-label={label} value={text} onChange={({ target }) => write(target.value)} /> <button>{label === "Answer" ? "Answer" : "Send"}</button>
    </form>
  );
}

function Chat({ of }) {
  const { messages, sendMessage, status, error, stop, regenerate } = useChat(of);
  const halt = () => { cancel(); stop(); };
  return (
    <>
      {messages.map(({ id, role, parts }) => (
        <div key={id} data-role={role}>
          <b>{role}</b> {parts.map((part, at) => <Part key={at} part={part} parts={parts} />)}
        </div>
      ))}
      <p id="status">{status}</p>
      {error && <p role="alert">{error.message}</p>}
      <Field label="Message" send={(text) => sendMessage({ text })} />
      <button onClick={halt}>Stop</button> <button onClick={() => regenerate()}>Again</button>
    </>
  );
}

createRoot(document.getElementById("root")).render(<StrictMode><Chat of={await options()} /></StrictMode>);

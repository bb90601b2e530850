// What both pages show: assistant-ui's own components, and parts for steps and questions.
import { ComposerPrimitive, MessagePrimitive, ThreadPrimitive, useAuiState } from "@assistant-ui/react";
import { createContext, useContext, useState } from "react";

const Answering = createContext(null);

const Text = ({ text }) => <span className="text">{text}</span>;

const File = ({ data, mimeType }) => <p><a href={data}>{mimeType}</a></p>;

function Tool({ toolName, args, result, approval, respondToApproval }) {
  const asks = approval && approval.approved === undefined;
  return (
    <p className="tool">
      {toolName} {JSON.stringify(args)} {result === undefined ? "…" : JSON.stringify(result)}
      {asks && [["Allow", true], ["Deny", false]].map(([label, approved]) => (
        <button key={label} onClick={() => respondToApproval({ approved })}>{label}</button>
      ))}
    </p>
  );
}

const Step = ({ data }) => (data.removed || data.type === "tool" ? null : <p className="step">{data.name} {data.status}</p>);

function Ask({ data: ask }) {
  const answer = useContext(Answering);
  const [text, write] = useState("");
  if (ask.status !== "open") return null;
  if (ask.kind === "action") return ask.actions.map(({ id, label, name }) => <button key={id} onClick={() => answer(ask, { action: id })}>{label || name}</button>);
  const submit = (event) => {
    event.preventDefault();
    answer(ask, { content: text });
  };
  return <form onSubmit={submit}><input aria-label="Answer" value={text} onChange={({ target }) => write(target.value)} /> <button>Answer</button></form>;
}

const parts = { Text, File, Image: ({ image }) => <img src={image} alt="" />, tools: { Fallback: Tool }, data: { by_name: { step: Step, ask: Ask } } };

function Message() {
  const role = useAuiState(({ message }) => message.role);
  return <MessagePrimitive.Root data-role={role}><b>{role}</b> <MessagePrimitive.Parts components={parts} /></MessagePrimitive.Root>;
}

export function Thread({ answer }) {
  const isRunning = useAuiState(({ thread }) => thread.isRunning);
  return (
    <Answering value={answer}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages components={{ Message }} />
        <p id="status">{isRunning ? "running" : "ready"}</p>
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input aria-label="Message" /> <ComposerPrimitive.Send>Send</ComposerPrimitive.Send> <ComposerPrimitive.Cancel>Stop</ComposerPrimitive.Cancel>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </Answering>
  );
}

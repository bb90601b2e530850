// A chat on the hooks: messages, the steps below them, questions, ratings, and what could not be sent.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Stepwire, viaSharedWorker } from "stepwire";
import {
  SessionProvider, useAsks, useConnection, useCurrentSession, useFeedback, usePending, useRows, useSession, useStep, useStepText,
} from "stepwire/react";

const asked = new URLSearchParams(location.search);
const client = new Stepwire({
  baseUrl: asked.get("gateway"),
  transport: viaSharedWorker(() => new SharedWorker("/client/dist/shared-worker.js", { type: "module", name: "stepwire" })),
});

function Line({ id, depth }) {
  const { name, type, status, disable_feedback } = useStep(id) ?? {};
  const text = useStepText(id);
  const pending = usePending(id);
  return (
    <div className={`line ${pending?.state ?? ""}`} style={{ paddingLeft: `${depth}em` }} data-type={type} data-status={status}>
      <b>{name}</b> {text} {pending?.error?.message}
      {!disable_feedback && <Rating id={id} />}
      <Questions id={id} />
    </div>
  );
}

function Rating({ id }) {
  const [feedback, rate] = useFeedback(id);
  const choose = (value) => rate(feedback?.value === value ? null : value);
  return [1, 0].map((value) => (
    <button key={value} aria-pressed={feedback?.value === value} onClick={() => choose(value)}>{value ? "Good" : "Bad"}</button>
  ));
}

function Questions({ id }) {
  const session = useCurrentSession();
  return useAsks(id).filter(({ status }) => status === "open").map((ask) => (
    <div key={ask.id} role="group">
      {ask.kind === "text" && <Field label="Answer" send={(content) => session.answer(ask.id, { content })} />}
      {ask.kind === "file" && <input type="file" aria-label="Files" multiple onChange={({ target }) => session.answer(ask.id, { files: [...target.files] })} />}
      {ask.actions.map(({ id: action, label, name }) => (
        <button key={action} onClick={() => session.answer(ask.id, { action })}>{label || name}</button>
      ))}
    </div>
  ));
}

function Field({ label, send }) {
  const [text, write] = useState("");
  const submit = (event) => {
    event.preventDefault();
    // What cannot be sent is shown with its message.
    send(text).catch(() => {});
    write("");
  };
  return (
    <form onSubmit={submit}>
      <input aria-label={label} value={text} onChange={({ target }) => write(target.value)} /> <button>Send</button>
    </form>
  );
}

function Conversation() {
  const session = useCurrentSession();
  const { state, error } = useConnection();
  const rows = useRows();
  return (
    <>
      <p id="state">{state} {error?.message}</p>
      {rows.filter(({ kind }) => kind === "step").map(({ id, depth }) => <Line key={id} id={id} depth={depth} />)}
      <Field label="Message" send={(content) => session.send(content)} />
    </>
  );
}

function Chat({ id }) {
  return <SessionProvider session={useSession(client, id)}><Conversation /></SessionProvider>;
}

const { id } = await client.create(location.hash.slice(1) || undefined);
location.hash = id;
createRoot(document.getElementById("root")).render(<StrictMode><Chat id={id} /></StrictMode>);

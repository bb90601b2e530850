import { useEffect, useState, type ReactNode } from "react";
import type { Ask } from "stepwire";
import { useAsks } from "stepwire/react";
import { useSession, useWritable } from "../app/session";
import { Icon, iconOf, type IconName } from "../design/Icon";
import { ElementAnswer } from "./chat/ElementAnswer";
import { useChosen } from "./files/chosen";
import { Chips, PickButton, upload } from "./files/Files";
import { findBox } from "./focus";
import { useKept, useSending, type Sending } from "./kept";
import { misfit, outcome, timeLeft, tooLate, wanted } from "./words";
import "./talk.css";

const ENDED: Readonly<Record<string, IconName>> = { answered: "ok", timeout: "clock", cancelled: "cancelled", interrupted: "interrupted" };
const NO_FILES: readonly File[] = [];

/** The asks of a step, open and ended, with what answers them. */
export function Question({ stepId }: { readonly stepId: string }) {
  const asks = useAsks(stepId);
  return asks.map((ask) => <OneQuestion key={ask.id} ask={ask} />);
}

function OneQuestion({ ask }: { readonly ask: Ask }) {
  const { kind, status } = ask;
  const isOpen = status === "open";
  const sending = useSending(`ask ${ask.id}`);
  const isWritable = useWritable();
  const [target] = useTarget();
  const problem = sending.code === "ask_ended" ? tooLate(status) : sending.problem && `Not sent. ${sending.problem}`;
  const request = kind === "file" ? wanted(ask) : kind === "action" ? "Choose one" : kind === "element" ? "Fill this in" : target === ask.id ? "Answer in the box below" : "Waits for an answer";
  return (
    <div className="talk-ask" role="group" aria-label="Question" data-ask-id={ask.id} data-kind={kind} data-status={status}>
      <p className="talk-ask-line">
        <Icon name={isOpen ? "ask" : (ENDED[status] ?? iconOf(status))} />
        <span>{isOpen ? request : outcome(ask)}</span>
        {isOpen && <TimeLeft ask={ask} />}
      </p>
      {isWritable && kind === "text" && isOpen && target !== ask.id && <AnswerButton ask={ask} />}
      {kind === "action" && <Choices ask={ask} sending={sending} enabled={isWritable && isOpen && !sending.busy} />}
      {isWritable && kind === "element" && isOpen && <ElementAnswer ask={ask} sending={sending} />}
      {isWritable && kind === "file" && isOpen && <FileAnswer ask={ask} sending={sending} />}
      <Problem>{problem}</Problem>
    </div>
  );
}

/** Which question the box below answers. */
export const useTarget = () => useKept<string | null>("target", null);

/** Questions that the person does not want to answer in the box. */
export const useDeclined = () => useKept<readonly string[]>("declined", NONE);
const NONE: readonly string[] = [];

export function Problem({ children }: { readonly children: ReactNode }) {
  // It is there before its words are: else some screen readers say nothing.
  return <p className="problem" role="alert" hidden={!children}>{children}</p>;
}

/** `timer`: not read out as it counts. */
function TimeLeft({ ask }: { readonly ask: Ask }) {
  const session = useSession();
  const [now, look] = useState(() => session.serverNow());
  useEffect(() => {
    const timer = setInterval(() => look(session.serverNow()), 1000);
    return () => clearInterval(timer);
  }, [session]);
  return <span className="talk-ask-time" role="timer">{timeLeft(ask.expires_at, now)}</span>;
}

function AnswerButton({ ask }: { readonly ask: Ask }) {
  const [, aim] = useTarget();
  const [declined, decline] = useDeclined();
  return (
    <button type="button" className="button" onClick={() => {
      decline(declined.filter((id) => id !== ask.id));
      aim(ask.id);
      findBox()?.focus();
    }}>Answer</button>
  );
}

/** A button for each action; in the end they show which was chosen. */
function Choices({ ask, sending, enabled }: { readonly ask: Ask; readonly sending: Sending; readonly enabled: boolean }) {
  const session = useSession();
  const chosen = ask.answer?.action_id;
  return (
    <div className="talk-choices">
      {ask.actions.map(({ id, label, name, tooltip }) => (
        // Not `disabled`, which would take the focus away from the button that was pressed.
        <button key={id} type="button" className="button" data-action-id={id} title={tooltip || undefined} aria-disabled={!enabled || undefined} data-chosen={id === chosen || undefined}
          onClick={() => enabled && void sending.send({ action: id }, (answer) => session.answer(ask.id, { action: id }, { id: answer }))}>
          {id === chosen && <Icon name="ok" />}<span dir="auto">{label || name}</span>{id === chosen && <span className="visually-hidden"> (chosen)</span>}
        </button>
      ))}
    </div>
  );
}

/** Files are chosen or dropped, looked at, and sent. */
function FileAnswer({ ask, sending }: { readonly ask: Ask; readonly sending: Sending }) {
  const session = useSession();
  const [files, setFiles, note] = useChosen(`files ${ask.id}`);
  const [sent, setSent] = useState<{ file: File; part: number } | null>(null);
  const complaint = misfit(ask, files);
  const change = (next: readonly File[]) => {
    setFiles(next);
    // What the gateway said was about other files.
    sending.complain("");
  };
  const answer = async () => {
    const taken = await sending.send({ files: files.map(({ name, size, lastModified }) => [name, size, lastModified]) }, async (id) => {
      const uploaded = await upload(session, files, (file, bytes) => setSent({ file, part: file.size ? bytes / file.size : 1 }));
      await session.answer(ask.id, { files: uploaded }, { id });
    });
    setSent(null);
    if (taken) setFiles(NO_FILES);
  };
  return (
    <div className="talk-ask-files">
      <Chips files={files} busy={sending.busy} sent={sent} onRemove={(file) => change(files.filter((one) => one !== file))} />
      {note && <p className="hint" role="status">{note}</p>}
      <Problem>{complaint && <ScrolledTo>{complaint}</ScrolledTo>}</Problem>
      <div className="talk-choices">
        <PickButton label={`Choose files: ${wanted(ask)}`} accept={ask.accept} multiple={ask.max_files !== 1} disabled={sending.busy} onFiles={(more) => change([...files, ...more])}>Choose files…</PickButton>
        {files.length > 0 && <button type="button" className="button primary" disabled={sending.busy || complaint !== ""} onClick={() => void answer()}>{sending.busy ? "Sending…" : "Send"}</button>}
      </div>
    </div>
  );
}

/** It is seen as soon as it is said, wherever the person has scrolled to. */
function ScrolledTo({ children }: { readonly children: ReactNode }) {
  const [element, setElement] = useState<HTMLElement | null>(null);
  useEffect(() => {
    // Newer browsers return a promise, which is nothing that an effect may.
    void element?.scrollIntoView({ block: "nearest" });
  }, [element, children]);
  return <span ref={setElement}>{children}</span>;
}

import { useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useConnection, useRuns, useStore } from "stepwire/react";
import type { Session } from "stepwire";
import { may, useSession } from "../app/session";
import { beginning, count } from "../app/words";
import { Icon } from "../design/Icon";
import { storedDraft, useAgain, useDraft } from "./draft";
import { useChosen } from "./files/chosen";
import { Chips, forgetUploads, PickButton, pastedFiles, upload, useDrops } from "./files/Files";
import { findBox, useFocusAfter } from "./focus";
import { TaskForm, useTaskFormOpen } from "./form/TaskForm";
import { useSending } from "./kept";
import { NotifyButton } from "./Notices";
import { Problem, useDeclined, useTarget } from "./Question";
import { useAim } from "./useAim";
import { useOffer } from "./useOffer";
import { outcome, tooLate } from "./words";
import "./talk.css";

const NO_FILES: readonly File[] = [];
const COMPOSING = 229;

/**
 * Where the person writes: messages, with files, and answers to questions for a text. What was not accepted stays in
 * it. It is shown only in a session that takes what is written.
 */
export function Composer() {
  const session = useSession();
  const id = useId();
  const box = useRef<HTMLTextAreaElement>(null);
  const [target] = useTarget();
  const [text, write] = useDraft(target);
  const [files, setFiles, note] = useChosen("files");
  const [again, sayAgain] = useAgain();
  const sending = useSending("message");
  const [sent, setSent] = useState<{ file: File; part: number } | null>(null);
  const [first] = useState(() => storedDraft(session).target);
  const isEmpty = text.trim() === "" && files.length === 0;
  const ask = useAim(isEmpty && again === null, sending.busy, first);
  const [isFormOpen, setFormOpen] = useTaskFormOpen();
  const { state } = useConnection();
  const offer = useOffer(`${state === "live"} ${isFormOpen}`);
  const tasks = offer?.tasks ?? [];
  // Without a worker nobody knows: one that takes messages may come.
  const takesMessages = offer === null || offer.workers === 0 || offer.handlers.includes("on_message");
  const isSendable = ask ? text.trim() !== "" && ask.status === "open" : !isEmpty && takesMessages;

  const attach = (more: readonly File[]) => {
    if (more.length === 0) return;
    if (ask) {
      sending.complain("This question is answered with a text. To send files, write a message instead.");
      return;
    }
    sending.complain("");
    setFiles([...files, ...more]);
    box.current?.focus();
  };
  const isOver = useDrops((dropped, at) => {
    const question = at.closest<HTMLElement>('[data-ask-id][data-kind="file"][data-status="open"]');
    const into = question?.querySelector<HTMLInputElement>('input[type="file"]');
    if (!into) return attach(dropped);
    const transfer = new DataTransfer();
    for (const file of dropped) transfer.items.add(file);
    into.files = transfer.files;
    into.dispatchEvent(new Event("change", { bubbles: true }));
  });
  useEffect(() => {
    if (again === null) return;
    write(again.text);
    box.current?.focus();
    box.current?.setSelectionRange(again.text.length, again.text.length);
  }, [again]);
  useGrowing(box, text);

  const send = async () => {
    if (!isSendable) return;
    const going = ask ? NO_FILES : files;
    const key = [ask?.id ?? null, text, going.map(({ name, size, lastModified }) => [name, size, lastModified]), again?.retryOf ?? null];
    // The earlier one may have been accepted after all, and then has the files.
    if (sending.unanswered !== null && sending.unanswered !== JSON.stringify(key)) forgetUploads(files);
    const taken = await sending.send(key, async (messageId) => {
      if (ask) await session.answer(ask.id, { content: text }, { id: messageId });
      else await sendMessage(session, messageId, text, await upload(session, going, (file, bytes) => setSent({ file, part: file.size ? bytes / file.size : 1 })), again?.retryOf);
    });
    setSent(null);
    if (!taken) return;
    // The person may have written on while it was under way.
    const now = box.current?.value ?? "";
    write(now.startsWith(text) ? now.slice(text.length).replace(/^\n+/, "") : now);
    setFiles(NO_FILES);
    sayAgain(undefined);
  };

  const problem = sending.code === "ask_ended" && ask ? tooLate(ask.status) : sending.problem && (sending.code === null ? sending.problem : `Not sent. ${sending.problem} Press Enter to try again.`);
  const label = ask ? "Your answer" : "Message";
  const reason = !takesMessages && !ask ? "This application takes no messages." : offer?.workers === 0 ? "No worker is there: what you send waits for one." : "";
  return (
    <section className="talk" aria-label="Write">
      {isOver && <div className="talk-drop" aria-hidden="true"><p>Drop the files here</p></div>}
      {isFormOpen && <TaskForm tasks={tasks} onClose={() => {
        setFormOpen(false);
        findBox()?.focus();
      }} />}
      <form className="talk-composer" id="composer" data-busy={sending.busy || undefined} onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}>
        {ask && <Aimed stepId={ask.step_id} how={ask.status === "open" ? "Answering" : `${outcome(ask)}:`} isOver={ask.status !== "open"} />}
        {again !== null && (
          <div className="talk-aim">
            <span>Sends this message anew, in your words{again.files > 0 && `, without its ${count(again.files, "file")}`}</span>
            <button type="button" className="button quiet" onClick={() => {
              sayAgain(undefined);
              if (text === again.text) write("");
              box.current?.focus();
            }}>Write another message</button>
          </div>
        )}
        <Chips files={ask ? NO_FILES : files} busy={sending.busy} sent={sent} onRemove={(file) => {
          setFiles(files.filter((one) => one !== file));
          if (files.length === 1) box.current?.focus();
        }} />
        {note && !ask && <p className="hint" role="status">{note}</p>}
        <div className="talk-row">
          <textarea ref={box} className="talk-box" dir="auto" rows={1} aria-label={label} aria-describedby={`${id}-reason`} value={text} disabled={!takesMessages && !ask}
            enterKeyHint={writesLines() ? "enter" : "send"} placeholder={ask ? "Write your answer…" : "Send a message…"}
            onChange={({ currentTarget }) => {
              write(currentTarget.value);
              // What was wrong may be wrong no longer.
              if (sending.code === null && sending.problem) sending.complain("");
            }}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
              // While a word is composed (Japanese, Chinese, …), Enter belongs to the input method. Safari ends the
              // composition before the key that ended it: only the old code (UI Events, 7.3.1) tells.
              if (event.nativeEvent.isComposing || event.keyCode === COMPOSING) return;
              if (writesLines() && !event.metaKey && !event.ctrlKey) return;
              event.preventDefault();
              void send();
            }}
            onPaste={(event) => {
              const pasted = pastedFiles(event.clipboardData);
              if (pasted.length === 0) return;
              event.preventDefault();
              attach(pasted);
            }} />
          <div className="talk-buttons">
            {!ask && takesMessages && <PickButton label="Attach files" onFiles={attach} />}
            {tasks.length > 0 && (
              <button type="button" className="button quiet" aria-expanded={isFormOpen} onClick={() => setFormOpen(!isFormOpen)}><Icon name="run" />Tasks</button>
            )}
            <NotifyButton />
            <span className="talk-gap" />
            <StopRuns />
            <button type="submit" className="button primary" disabled={sending.busy || !isSendable}>{sending.busy ? "Sending…" : ask ? "Answer" : "Send"}</button>
          </div>
        </div>
        <p className="hint" id={`${id}-reason`} hidden={!reason}>{reason}</p>
        <Problem>{problem}</Problem>
      </form>
    </section>
  );
}

async function sendMessage(session: Session, id: string, text: string, files: readonly string[], retryOf: string | undefined): Promise<void> {
  try {
    await session.send(text, { id, files, ...(retryOf !== undefined && { retry_of: retryOf }) });
  } catch (error) {
    // It stands in the box, and not in the conversation as well.
    session.store.discard(id);
    throw error;
  }
}

/** On a telephone Enter begins a line, and the button sends: there is no Shift to hold. */
const writesLines = () => matchMedia("(pointer: coarse) and (hover: none)").matches;

/** What the box answers, and the way back to a message. */
function Aimed({ stepId, how, isOver }: { readonly stepId: string; readonly how: string; readonly isOver: boolean }) {
  const question = useStore(`step:${stepId}`, (store) => beginning(store.step(stepId)?.output ?? ""));
  const [target, aim] = useTarget();
  const [declined, decline] = useDeclined();
  return (
    <div className="talk-aim" data-over={isOver || undefined}>
      <span>{how} <bdi>{question || "a question"}</bdi></span>
      <button type="button" className="button quiet" onClick={() => {
        if (target !== null) decline([...declined, target]);
        aim(null);
        findBox()?.focus();
      }}>Write a message instead</button>
    </div>
  );
}

/** Stops all that goes on. */
function StopRuns() {
  // What a run has started ends with it.
  const going = useRuns().filter(({ status, parent_run_id, will_retry }) => (status === "running" || will_retry) && parent_run_id === null);
  return going.length === 0 || !may("cancel") ? null : <StopButton runs={going.map(({ run_id }) => run_id)} />;
}

function StopButton({ runs }: { readonly runs: readonly string[] }) {
  const session = useSession();
  const sending = useSending("stop all");
  const ref = useFocusAfter<HTMLButtonElement>(findBox);
  return (
    <>
      <Problem>{sending.problem && `Not stopped. ${sending.problem}`}</Problem>
      <button ref={ref} type="button" className="button" aria-disabled={sending.busy || undefined} onClick={() => void sending.send(runs, () => Promise.all(runs.map((run) => session.cancel(run))))}>
        <Icon name="stop" />{runs.length === 1 ? "Stop" : `Stop all ${runs.length}`}
      </button>
    </>
  );
}

/** The box is as high as its text, up to what its style allows. */
function useGrowing(box: React.RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || CSS.supports("field-sizing: content")) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [box, text]);
}

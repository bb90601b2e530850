import { useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { StepwireError, type JsonValue, type StepElement } from "stepwire";
import { choices } from "../../app/gateway";
import { useSession, useWritable } from "../../app/session";
import { Icon } from "../../design/Icon";
import { useFocusOnWrong } from "../focus";
import { useKept, useSending } from "../kept";
import { Problem } from "../Question";
import { useOffer } from "../useOffer";
import { InputControl } from "./InputControl";
import { changed, tabsOf, valueOf, type Tab } from "./inputs";
import { useOwnElement } from "./own";

/** While a person edits, the application hears of it at most so often: its form may depend on what is chosen. */
const EDIT_MS = 600;

const NOTHING: Readonly<Record<string, unknown>> = {};

/** The button that opens the settings of the session, in the head of the page; nothing while it has none. */
export function Settings() {
  const form = useOwnElement("settings");
  const isWritable = useWritable();
  const [isOpen, setOpen] = useState(false);
  const [place, setPlace] = useState<HTMLElement | null>(null);
  useEffect(() => setPlace(document.getElementById("session-actions")), []);
  if (!form || !isWritable || !place) return null;
  return (
    <>
      {createPortal(<button type="button" className="button quiet" aria-haspopup="dialog" onClick={() => setOpen(true)}><Icon name="filter" />Settings</button>, place)}
      {isOpen && <SettingsDialog form={form} onClose={() => setOpen(false)} />}
    </>
  );
}

function SettingsDialog({ form, onClose }: { readonly form: StepElement; readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  useLayoutEffect(() => {
    const opener = document.activeElement;
    const shown = dialog.current!;
    shown.showModal();
    return () => {
      shown.close();
      if (opener instanceof HTMLElement) queueMicrotask(() => opener.focus());
    };
  }, []);
  return (
    <dialog ref={dialog} className="talk-dialog" aria-labelledby={title} onClose={onClose} onCancel={onClose}>
      <header className="talk-dialog-head">
        <h2 id={title}>Settings</h2>
        <button type="button" className="button quiet icon-only" aria-label="Close" onClick={onClose}><Icon name="close" /></button>
      </header>
      <Form form={form} onClose={onClose} />
    </dialog>
  );
}

function Form({ form, onClose }: { readonly form: StepElement; readonly onClose: () => void }) {
  const session = useSession();
  const sending = useSending("settings");
  const [edited, setEdited] = useKept("settings edited", NOTHING);
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const [shown, setShown] = useState("");
  const box = useRef<HTMLFormElement>(null);
  const focusOnWrong = useFocusOnWrong(box);
  const props = form.props as Readonly<Record<string, unknown>>;
  const tabs = tabsOf(props);
  const tab = tabs.find(({ id }) => id === shown) ?? tabs[0];
  const values = changed(tabs, props["values"], edited);
  const key = JSON.stringify(values);
  const hears = useOffer()?.handlers.includes("on_settings_edit") ?? false;
  useTelling(key, () => (hears ? choices.editSettings(session.id, JSON.parse(key)) : Promise.resolve()));
  const change = (id: string, value: unknown) => {
    setEdited({ ...edited, [id]: value });
    setProblems(new Map([...problems].filter(([place]) => place !== id)));
  };
  const save = async () => {
    if (Object.keys(values).length === 0) return onClose();
    let refused: ReadonlyMap<string, string> = new Map();
    const taken = await sending.send(values, (id) => choices.changeSettings(session.id, values as Record<string, JsonValue>, id).catch((error) => {
      refused = flawsOf(error);
      throw error;
    }));
    if (taken) {
      setEdited(undefined);
      onClose();
      return;
    }
    setProblems(refused);
    const wrong = tabs.find(({ inputs }) => inputs.some(({ id }) => refused.has(id)));
    if (wrong) setShown(wrong.id);
    focusOnWrong();
  };
  return (
    <form ref={box} className="talk-settings" noValidate onSubmit={(event) => {
      event.preventDefault();
      void save();
    }}>
      {tabs.length > 1 && <Tabs tabs={tabs} shown={tab?.id ?? ""} wrong={problems} onShow={setShown} />}
      <div className="talk-task-body" role={tabs.length > 1 ? "tabpanel" : undefined} aria-label={tabs.length > 1 ? tab?.label : undefined}>
        {tab?.inputs.map((input) => (
          <InputControl key={input.id} input={input} value={input.id in values ? values[input.id] : valueOf(input, props["values"])} problem={problems.get(input.id)} onChange={(value) => change(input.id, value)} />
        ))}
      </div>
      <div className="talk-task-foot">
        <Problem>{problems.size === 0 && sending.problem && `Not saved. ${sending.problem}`}</Problem>
        <button type="button" className="button quiet" onClick={() => {
          setEdited(undefined);
          onClose();
        }}>Discard</button>
        <button type="submit" className="button primary" aria-disabled={sending.busy || undefined}>{sending.busy ? "Saving…" : "Save"}</button>
      </div>
    </form>
  );
}

/** Tabs as WAI-ARIA wants them: one of them is in the order of Tab, the arrows go to the others. */
function Tabs({ tabs, shown, wrong, onShow }: { readonly tabs: readonly Tab[]; readonly shown: string; readonly wrong: ReadonlyMap<string, string>; readonly onShow: (id: string) => void }) {
  const list = useRef<HTMLDivElement>(null);
  return (
    <div ref={list} className="talk-tabs" role="tablist" aria-label="Groups of settings" onKeyDown={(event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const at = tabs.findIndex(({ id }) => id === shown);
      const next = (at + by * (getComputedStyle(event.currentTarget).direction === "rtl" ? -1 : 1) + tabs.length) % tabs.length;
      onShow(tabs[next]!.id);
      list.current?.querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
    }}>
      {tabs.map(({ id, label, inputs }) => (
        <button key={id} type="button" role="tab" className="button quiet" aria-selected={id === shown} tabIndex={id === shown ? 0 : -1} onClick={() => onShow(id)}>
          {label}{inputs.some((input) => wrong.has(input.id)) && <span className="problem"> (!)</span>}
        </button>
      ))}
    </div>
  );
}

/** Tells of what is about to be chosen, when it rests; what comes of it is another form, or nothing. */
function useTelling(key: string, tell: () => Promise<unknown>): void {
  const last = useRef(key);
  const newest = useRef(tell);
  newest.current = tell;
  useEffect(() => {
    if (last.current === key) return;
    const timer = setTimeout(() => {
      last.current = key;
      newest.current().catch(() => {});
    }, EDIT_MS);
    return () => clearTimeout(timer);
  }, [key]);
}

/** What the gateway says of each value, by the id of its input. */
function flawsOf(error: unknown): ReadonlyMap<string, string> {
  const errors = error instanceof StepwireError ? error.problem["errors"] : null;
  const flaws = (Array.isArray(errors) ? errors : []) as readonly { where: string; what: string }[];
  return new Map(flaws.map(({ where, what }) => [where.replace(/^body\.values\./, ""), what]));
}

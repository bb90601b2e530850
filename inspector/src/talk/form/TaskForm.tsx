import { useEffect, useId, useRef, useState } from "react";
import type { JsonValue } from "stepwire";
import type { TaskEntry } from "stepwire/lists";
import { useSession } from "../../app/session";
import { Icon } from "../../design/Icon";
import { useFocusOnWrong } from "../focus";
import { useKept, useSending } from "../kept";
import { Problem } from "../Question";
import { Fields, notJson, parsedJson } from "./Fields";
import { argsOf, defaultsOf, fieldsOf, problemsOf, type Problems, type Values } from "./schema";

/** What is being filled in: it stays when the form is closed, and when a row or the page is drawn anew. */
export interface TaskDraft {
  readonly task: string;
  readonly values: Values;
  /** The arguments as one text; null: by fields. */
  readonly json: string | null;
  /** The run that is repeated with other arguments. */
  readonly retryOf: string | null;
}

export const useTaskDraft = () => useKept<TaskDraft | null>("task", null);

/** Whether the form is open. */
export const useTaskFormOpen = () => useKept("task open", false);

const NONE: Problems = new Map();

/** Chooses a task, and fills in what it is called with. */
export function TaskForm({ tasks, onClose }: { readonly tasks: readonly TaskEntry[]; readonly onClose: () => void }) {
  const session = useSession();
  const sending = useSending("task");
  const [kept, setDraft] = useTaskDraft();
  const [problems, setProblems] = useState<Problems>(NONE);
  const id = useId();
  const form = useRef<HTMLFormElement>(null);
  const focusOnWrong = useFocusOnWrong(form);
  const draft = kept ?? beginning(tasks[0]);
  const task = tasks.find(({ name }) => name === draft?.task);
  const schema = task?.args_schema ?? null;
  const fields = schema === null ? null : fieldsOf(schema);
  const text = fields === null || !draft ? (draft?.json ?? jsonOf(draft?.values ?? {})) : draft.json;
  const retryOf = draft?.retryOf ?? null;
  useEffect(() => form.current?.querySelector<HTMLElement>("select, input, textarea")?.focus(), [retryOf]);
  if (!draft) return null;
  const change = (next: Partial<TaskDraft>) => {
    setDraft({ ...draft, ...next });
    setProblems(NONE);
    sending.complain("");
  };
  const send = async () => {
    const found = text === null ? fromFields(draft.values, fields ?? []) : fromText(text);
    const wrong = "problems" in found ? found.problems : schema ? problemsOf(found.args, schema) : NONE;
    setProblems(wrong);
    if (wrong.size > 0 || "problems" in found) {
      focusOnWrong();
      return;
    }
    const { args } = found;
    const taken = await sending.send([draft.task, args, retryOf], (run) => session.run(draft.task, args, { id: run, ...(retryOf !== null && { retry_of: retryOf }) }));
    if (!taken) return;
    setDraft(undefined);
    onClose();
  };
  return (
    <form className="talk-task" ref={form} noValidate aria-label={retryOf === null ? "Run a task" : "Run again with other arguments"} onKeyDown={(event) => {
      if (event.key === "Escape") onClose();
      if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) void send();
    }} onSubmit={(event) => {
      event.preventDefault();
      void send();
    }}>
      <div className="talk-task-head">
        <label htmlFor={id}>Task</label>
        <select id={id} className="field" value={draft.task} onChange={({ target }) => {
          const chosen = tasks.find(({ name }) => name === target.value);
          const begun = beginning(chosen);
          if (begun) change(begun);
        }}>
          {!task && <option value={draft.task}>{draft.task}</option>}
          {tasks.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        </select>
        <button type="button" className="button quiet icon-only" aria-label="Close the form" onClick={onClose}><Icon name="close" /></button>
      </div>
      <div className="talk-task-body">
        {retryOf !== null && <p className="hint">Repeats the run {retryOf} with what is filled in here.</p>}
        {task?.description && <p className="talk-task-about" dir="auto">{task.description}</p>}
        {!task && <p className="hint">No worker that is there has this task: it would wait for one.</p>}
        {task && !schema && <p className="hint">The workers do not describe what this task takes: write its arguments as JSON.</p>}
        {text === null
          ? fields && fields.length > 0
            ? <Fields key={draft.task} fields={fields} values={draft.values} root={schema ?? {}} problems={problems} onChange={(values) => change({ values })} />
            : <p className="hint">It takes no arguments.</p>
          : <Json id={`${id}-json`} text={text} problems={problems} onChange={(json) => change({ json })} />}
        {text === null && <Problem>{problems.get("")}</Problem>}
      </div>
      <div className="talk-task-foot">
        {fields !== null && (
          <button type="button" className="button quiet" aria-pressed={text !== null} onClick={() => {
            const parsed = text === null ? null : parsedJson(text);
            const broken = notJson(draft.values);
            if (parsed === null && broken.length > 0) setProblems(new Map(broken));
            else if (parsed === null) change({ json: jsonOf(argsOf(draft.values, fields)) });
            else if ("problem" in parsed) setProblems(new Map([["", parsed.problem]]));
            else change({ json: null, values: (isObject(parsed.value) ? parsed.value : {}) as Values });
          }}>{text === null ? "As JSON" : "As fields"}</button>
        )}
        <Problem>{sending.problem && `Not started. ${sending.problem}`}</Problem>
        <button type="submit" className="button primary" aria-disabled={sending.busy || undefined}>{sending.busy ? "Starting…" : retryOf === null ? "Run" : "Run again"}</button>
      </div>
    </form>
  );
}

function Json({ id, text, problems, onChange }: { readonly id: string; readonly text: string; readonly problems: Problems; readonly onChange: (text: string) => void }) {
  const words = [...problems].map(([place, problem]) => (place ? `${place.slice(1)}: ${problem}` : problem)).join("\n");
  return (
    <div className="talk-field">
      <label htmlFor={id}>Arguments, as JSON</label>
      <textarea id={id} className="field talk-json" rows={6} spellCheck={false} autoCapitalize="off" value={text} aria-invalid={words !== "" || undefined} aria-describedby={`${id}-problem`} onChange={({ target }) => onChange(target.value)} />
      <p className="problem talk-lines" id={`${id}-problem`} hidden={!words}>{words}</p>
    </div>
  );
}

const isObject = (value: unknown): value is Record<string, JsonValue> => typeof value === "object" && value !== null && !Array.isArray(value);
const jsonOf = (values: Values) => JSON.stringify(values, null, 2);

function beginning(task: TaskEntry | undefined): TaskDraft | null {
  return task ? { task: task.name, values: defaultsOf((task.args_schema && fieldsOf(task.args_schema)) ?? []), json: null, retryOf: null } : null;
}

type Filled = { readonly args: Record<string, JsonValue> } | { readonly problems: Problems };

function fromFields(values: Values, fields: NonNullable<ReturnType<typeof fieldsOf>>): Filled {
  const broken = notJson(values);
  return broken.length > 0 ? { problems: new Map(broken) } : { args: argsOf(values, fields) };
}

function fromText(text: string): Filled {
  const parsed = parsedJson(text);
  if ("problem" in parsed) return { problems: new Map([["", parsed.problem]]) };
  const args = parsed.value ?? {};
  return isObject(args) ? { args } : { problems: new Map([["", "The arguments are an object: {\"name\": value}."]]) };
}

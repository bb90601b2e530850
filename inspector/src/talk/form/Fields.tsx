import { useId, useState, type ReactNode } from "react";
import type { JsonValue } from "stepwire";
import { Icon } from "../../design/Icon";
import { defaultsOf, escaped, itemField, type Field, type Problems, type Schema, type Values } from "./schema";

interface Props {
  readonly field: Field;
  readonly value: unknown;
  /** Where the value is in the arguments. */
  readonly place: string;
  readonly root: Schema;
  readonly problems: Problems;
  readonly onChange: (value: unknown) => void;
}

/** The fields of an object. */
export function Fields({ fields, values, place = "", root, problems, onChange }: {
  readonly fields: readonly Field[];
  readonly values: Values;
  readonly place?: string;
  readonly root: Schema;
  readonly problems: Problems;
  readonly onChange: (values: Values) => void;
}) {
  return fields.map((field) => (
    <OneField key={field.name} field={field} value={values[field.name]} place={`${place}/${escaped(field.name)}`} root={root} problems={problems}
      onChange={(value) => onChange({ ...values, [field.name]: value })} />
  ));
}

function OneField(props: Props) {
  const { field, value, place, root, problems, onChange } = props;
  const { control, required, nullable } = field;
  if (control.kind === "object") {
    const values = (typeof value === "object" && value !== null ? value : null) as Values | null;
    const isThere = values !== null;
    return (
      <Group field={field} problem={problems.get(place)}>
        {(!required || nullable) && (
          <label className="talk-check"><input type="checkbox" checked={isThere} onChange={({ target }) => onChange(target.checked ? defaultsOf(control.fields) : undefined)} /> Give it</label>
        )}
        {(isThere || (required && !nullable)) && <Fields fields={control.fields} values={values ?? {}} place={place} root={root} problems={problems} onChange={onChange} />}
      </Group>
    );
  }
  if (control.kind === "list") return <List {...props} item={control.item} />;
  return <Labelled {...props} />;
}

function Group({ field: { title, description, required }, problem, children }: { readonly field: Field; readonly problem: string | undefined; readonly children: ReactNode }) {
  const id = useId();
  return (
    <fieldset className="talk-group" aria-describedby={`${id}-hint ${id}-problem`}>
      <legend>{title}{required && <Needed />}</legend>
      {description && <p className="hint" id={`${id}-hint`} dir="auto">{description}</p>}
      {children}
      <p className="problem" id={`${id}-problem`} hidden={!problem}>{problem}</p>
    </fieldset>
  );
}

const Needed = () => <span className="talk-needed" aria-hidden="true"> *</span>;

function List({ field, value, place, root, problems, onChange, item }: Props & { readonly item: Schema }) {
  const entries = Array.isArray(value) ? value : [];
  const change = (next: readonly unknown[]) => onChange(next.length === 0 && !field.required ? undefined : next);
  return (
    <Group field={field} problem={problems.get(place)}>
      {entries.map((entry, at) => (
        // The entries have no names: what is removed is the one at this place.
        <div className="talk-entry" key={at}>
          <Labelled field={itemField(item, at, root)} value={entry} place={`${place}/${at}`} root={root} problems={problems}
            onChange={(next) => change(entries.map((one, there) => (there === at ? (next ?? "") : one)))} />
          <button type="button" className="button quiet icon-only" aria-label={`Remove ${field.title} ${at + 1}`} onClick={(event) => {
            const list = event.currentTarget.closest("fieldset");
            change(entries.filter((_, there) => there !== at));
            list?.querySelector<HTMLElement>(".talk-add")?.focus();
          }}><Icon name="close" /></button>
        </div>
      ))}
      <button type="button" className="button quiet talk-add" onClick={() => change([...entries, ""])}>Add one</button>
    </Group>
  );
}

function Labelled(props: Props) {
  const { field: { title, description, required, control }, place, problems } = props;
  const id = useId();
  // A text that is no JSON says so itself, as it is written.
  const problem = props.value instanceof NotJson ? undefined : problems.get(place);
  const about = {
    id,
    "aria-invalid": problem !== undefined || undefined,
    "aria-describedby": [description && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ") || undefined,
    "aria-required": required || undefined,
  };
  const isCheck = control.kind === "boolean" && required;
  const label = <label htmlFor={id}>{title}{required && <Needed />}</label>;
  return (
    <div className={isCheck ? "talk-field talk-field-check" : "talk-field"} data-name={title}>
      {isCheck ? <span className="talk-check"><Input {...props} about={about} />{label}</span> : <>{label}<Input {...props} about={about} /></>}
      {description && <p className="hint" id={`${id}-hint`} dir="auto">{description}</p>}
      <p className="problem" id={`${id}-problem`} hidden={problem === undefined}>{problem}</p>
    </div>
  );
}

interface About {
  readonly id: string;
}

function Input({ field: { control, required, nullable, schema }, value, about, onChange }: Props & { readonly about: About }) {
  switch (control.kind) {
    case "boolean":
      if (required) return <input {...about} type="checkbox" checked={value === true} onChange={({ target }) => onChange(target.checked)} />;
      return <Choice about={about} values={[true, false]} value={value} empty="—" onChange={onChange} />;
    case "choice":
      return <Choice about={about} values={control.values} value={value} empty={required && !nullable ? null : "—"} onChange={onChange} />;
    case "number":
      return <NumberInput about={about} value={value} integer={control.integer} onChange={onChange} />;
    case "text": {
      const text = typeof value === "string" ? value : "";
      const change = ({ target }: { target: { value: string } }) => onChange(target.value === "" ? undefined : target.value);
      if (control.long) return <textarea {...about} className="field talk-long" dir="auto" rows={1} value={text} onChange={change} />;
      return <input {...about} className="field" dir="auto" type={control.type} value={text} maxLength={control.maxLength} placeholder={EXAMPLES[String(schema["format"])]} autoComplete="off" onChange={change} />;
    }
    default:
      return <JsonInput about={about} value={value} onChange={onChange} />;
  }
}

const EXAMPLES: Readonly<Record<string, string>> = { "date-time": "2026-01-31T12:00:00Z", time: "12:00:00", duration: "PT1H" };

function Choice({ about, values, value, empty, onChange }: {
  readonly about: About;
  readonly values: readonly JsonValue[];
  readonly value: unknown;
  /** The words for no choice; null: one must be made. */
  readonly empty: string | null;
  readonly onChange: (value: unknown) => void;
}) {
  const at = values.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
  return (
    <select {...about} className="field" value={at} onChange={({ target }) => onChange(values[Number(target.value)])}>
      {(empty !== null || at < 0) && <option value={-1}>{empty ?? "Choose one"}</option>}
      {values.map((one, index) => <option key={index} value={index}>{one === true ? "yes" : one === false ? "no" : typeof one === "string" ? one : JSON.stringify(one)}</option>)}
    </select>
  );
}

/** Not `type="number"`, which drops what it does not understand, and changes under the wheel of a mouse. */
function NumberInput({ about, value, integer, onChange }: { readonly about: About; readonly value: unknown; readonly integer: boolean; readonly onChange: (value: unknown) => void }) {
  const [text, setText] = useState(value === undefined || value === null ? "" : String(value));
  const shown = numberOf(text) === value ? text : value === undefined || value === null ? "" : String(value);
  return (
    <input {...about} className="field" type="text" inputMode={integer ? "numeric" : "decimal"} autoComplete="off" value={shown} onChange={({ target }) => {
      setText(target.value);
      onChange(numberOf(target.value));
    }} />
  );
}

/** A number; what is none, and a whole number that JavaScript cannot hold, stays the text that was written. */
function numberOf(text: string): unknown {
  if (text.trim() === "") return undefined;
  const number = Number(text);
  const isExact = !Number.isInteger(number) || Number.isSafeInteger(number);
  return Number.isFinite(number) && isExact && /^[\s+-.\deE]+$/.test(text) ? number : text;
}

/** Written as JSON: while it is none, the value is what {@link NotJson} says. */
function JsonInput({ about, value, onChange }: { readonly about: About; readonly value: unknown; readonly onChange: (value: unknown) => void }) {
  const [text, setText] = useState(() => (value === undefined ? "" : JSON.stringify(value, null, 2)));
  const [problem, setProblem] = useState("");
  return (
    <>
      <textarea {...about} className="field talk-json" rows={2} spellCheck={false} autoCapitalize="off" placeholder="JSON" value={text} aria-invalid={problem !== "" || undefined} onChange={({ target }) => {
        setText(target.value);
        const parsed = parsedJson(target.value);
        setProblem("problem" in parsed ? parsed.problem : "");
        onChange("problem" in parsed ? new NotJson(parsed.problem) : parsed.value);
      }} />
      <p className="problem" hidden={!problem}>{problem}</p>
    </>
  );
}

/** Stands where a text is not JSON. */
export class NotJson {
  constructor(readonly problem: string) {}
}

export function parsedJson(text: string): { readonly value: JsonValue | undefined } | { readonly problem: string } {
  if (text.trim() === "") return { value: undefined };
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch (error) {
    return { problem: `This is not JSON: ${(error as Error).message}` };
  }
}

/** What is not JSON among the values, by its place. */
export function notJson(values: unknown, place = ""): [string, string][] {
  if (values instanceof NotJson) return [[place, values.problem]];
  if (typeof values !== "object" || values === null) return [];
  return Object.entries(values).flatMap(([name, value]) => notJson(value, `${place}/${escaped(name)}`));
}

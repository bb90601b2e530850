import { useId, useState } from "react";
import { itemsOf, type Input } from "./inputs";

interface Props {
  readonly input: Input;
  readonly value: unknown;
  readonly problem?: string | undefined;
  readonly onChange: (value: unknown) => void;
}

/** One input of the settings, by its type; of an unknown type its value is shown, and cannot be changed. */
export function InputControl(props: Props) {
  const { input: { type, label, description }, problem } = props;
  const id = useId();
  const about = {
    id,
    disabled: props.input.disabled,
    "aria-invalid": problem !== undefined || undefined,
    "aria-describedby": [description && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ") || undefined,
  };
  const isCheck = type === "switch" || type === "checkbox";
  const isGroup = type === "radio" || type === "multiselect" || (type === "datepicker" && props.input.given["mode"] === "range");
  const notes = (
    <>
      {description && <p className="hint" id={`${id}-hint`} dir="auto">{description}</p>}
      <p className="problem" id={`${id}-problem`} hidden={!problem}>{problem}</p>
    </>
  );
  if (isGroup) return <fieldset className="talk-group" data-input={props.input.id} aria-describedby={about["aria-describedby"]}><legend dir="auto">{label}</legend><Control {...props} about={about} />{notes}</fieldset>;
  return (
    <div className="talk-field" data-input={props.input.id}>
      {isCheck ? <span className="talk-check"><Control {...props} about={about} /><label htmlFor={id} dir="auto">{label}</label></span> : <><label htmlFor={id} dir="auto">{label}</label><Control {...props} about={about} /></>}
      {notes}
    </div>
  );
}

interface About {
  readonly id: string;
  readonly disabled: boolean;
}

const words = (value: unknown) => (typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value));
const listOf = (value: unknown) => (Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : []);
const numberOr = (value: unknown, other: number) => (typeof value === "number" ? value : other);

function Control({ input, value, about, onChange }: Props & { readonly about: About }) {
  const { given } = input;
  const placeholder = words(given["placeholder"]);
  switch (input.type) {
    case "switch":
    case "checkbox":
      return <input {...about} type="checkbox" role={input.type === "switch" ? "switch" : undefined} checked={value === true} onChange={({ target }) => onChange(target.checked)} />;
    case "slider": {
      const [min, max] = [numberOr(given["min"], 0), numberOr(given["max"], 10)];
      return (
        <span className="talk-slider">
          <input {...about} type="range" min={min} max={max} step={numberOr(given["step"], 1)} value={numberOr(value, min)} onChange={({ target }) => onChange(Number(target.value))} />
          <output htmlFor={about.id}>{numberOr(value, min)}</output>
        </span>
      );
    }
    case "numberinput":
      return <NumberText about={about} placeholder={placeholder} value={value} onChange={onChange} />;
    case "textinput":
      if (given["multiline"] === true) return <textarea {...about} className="field" dir="auto" rows={3} placeholder={placeholder} value={words(value)} onChange={({ target }) => onChange(target.value)} />;
      return <input {...about} className="field" dir="auto" autoComplete="off" placeholder={placeholder} value={words(value)} onChange={({ target }) => onChange(target.value)} />;
    case "select":
      return (
        <select {...about} className="field" value={words(value)} onChange={({ target }) => onChange(target.value === "" ? null : target.value)}>
          <option value="">—</option>
          {itemsOf(input).map(({ label, value: one }) => <option key={one} value={one}>{label}</option>)}
        </select>
      );
    case "radio":
      return itemsOf(input).map(({ label, value: one }) => (
        <label key={one} className="talk-check"><input type="radio" name={about.id} disabled={about.disabled} checked={one === value} onChange={() => onChange(one)} /><bdi>{label}</bdi></label>
      ));
    case "multiselect": {
      const chosen = listOf(value);
      return itemsOf(input).map(({ label, value: one }) => (
        <label key={one} className="talk-check"><input type="checkbox" disabled={about.disabled} checked={chosen.includes(one)} onChange={({ target }) => onChange(target.checked ? [...chosen, one] : chosen.filter((other) => other !== one))} /><bdi>{label}</bdi></label>
      ));
    }
    case "tags":
      return <Tags about={about} suggestions={listOf(given["values"])} placeholder={placeholder} value={listOf(value)} onChange={onChange} />;
    case "datepicker": {
      const limits = { min: words(given["min_date"]) || undefined, max: words(given["max_date"]) || undefined, disabled: about.disabled };
      if (given["mode"] !== "range") return <input {...about} {...limits} className="field" type="date" value={words(value)} onChange={({ target }) => onChange(target.value || null)} />;
      return <Range value={value} limits={limits} onChange={onChange} />;
    }
    default:
      return <input {...about} className="field" readOnly value={words(value)} />;
  }
}

/** Half of a range is none: it is kept here until the other half is there. */
function Range({ value, limits, onChange }: { readonly value: unknown; readonly limits: { readonly min: string | undefined; readonly max: string | undefined; readonly disabled: boolean }; readonly onChange: (value: unknown) => void }) {
  const [from = "", to = ""] = listOf(value);
  const [half, setHalf] = useState<readonly [string, string]>([from, to]);
  const [begin, end] = from && to ? [from, to] : half;
  const change = (next: readonly [string, string]) => {
    setHalf(next);
    onChange(next[0] && next[1] ? next : null);
  };
  return (
    <span className="talk-range">
      <input {...limits} aria-label="From" className="field" type="date" value={begin} onChange={({ target }) => change([target.value, end])} />
      <input {...limits} aria-label="To" className="field" type="date" value={end} onChange={({ target }) => change([begin, target.value])} />
    </span>
  );
}

/** What is no number is for the gateway to refuse: nothing that was typed is lost meanwhile. */
function NumberText({ about, placeholder, value, onChange }: { readonly about: About; readonly placeholder: string; readonly value: unknown; readonly onChange: (value: unknown) => void }) {
  const [text, setText] = useState(words(value));
  const numberOf = (written: string) => (written.trim() === "" ? null : Number.isFinite(Number(written)) ? Number(written) : written);
  const shown = numberOf(text) === value ? text : words(value);
  return (
    <input {...about} className="field" inputMode="decimal" autoComplete="off" placeholder={placeholder} value={shown} onChange={({ target }) => {
      setText(target.value);
      onChange(numberOf(target.value));
    }} />
  );
}

function Tags({ about, suggestions, placeholder, value, onChange }: { readonly about: About; readonly suggestions: readonly string[]; readonly placeholder: string; readonly value: readonly string[]; readonly onChange: (value: unknown) => void }) {
  const [text, setText] = useState("");
  const add = () => {
    const tag = text.trim();
    if (tag && !value.includes(tag)) onChange([...value, tag]);
    setText("");
  };
  return (
    <span className="talk-tags">
      {value.map((tag) => <span key={tag} className="chip"><bdi>{tag}</bdi><button type="button" className="button quiet icon-only" aria-label={`Remove ${tag}`} disabled={about.disabled} onClick={() => onChange(value.filter((one) => one !== tag))}>×</button></span>)}
      <input {...about} className="field" dir="auto" list={`${about.id}-list`} placeholder={placeholder || "Add one, then Enter"} value={text} onBlur={add} onChange={({ target }) => setText(target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
          event.preventDefault();
          add();
        }} />
      <datalist id={`${about.id}-list`}>{suggestions.map((one) => <option key={one} value={one} />)}</datalist>
    </span>
  );
}

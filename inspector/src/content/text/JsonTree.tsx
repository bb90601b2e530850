import { useState } from "react";
import { ExactNumber, type Json } from "./json";

/** A longer list is shown in parts. */
const PART = 100;
/** What is open at first has at most so many entries. */
const OPEN_ENTRIES = 30;
const OPEN_DEPTH = 2;
const LONG_STRING = 2000;

/** A structure as a tree that opens and closes; what is closed is made when it is opened. */
export function JsonTree({ value }: { readonly value: Json }) {
  return <div className="json" dir="ltr"><Value value={value} depth={0} /></div>;
}

function Entry({ name, value, depth }: { readonly name: string | number; readonly value: Json; readonly depth: number }) {
  const key = <span className={typeof name === "number" ? "json-index" : "json-key"}><bdi>{name === "" ? '""' : name}</bdi>: </span>;
  if (isStructure(value)) return <li><Structure label={key} value={value} depth={depth} /></li>;
  return <li className="json-leaf">{key}<Scalar value={value} /></li>;
}

function Value({ value, depth }: { readonly value: Json; readonly depth: number }) {
  return isStructure(value) ? <Structure label={null} value={value} depth={depth} /> : <Scalar value={value} />;
}

type Structured = Json[] | { readonly [key: string]: Json };

function Structure({ label, value, depth }: { readonly label: React.ReactNode; readonly value: Structured; readonly depth: number }) {
  const isList = Array.isArray(value);
  const count = isList ? value.length : Object.keys(value).length;
  const [open, setOpen] = useState(depth === 0 || (depth < OPEN_DEPTH && count <= OPEN_ENTRIES));
  const size = isList ? `[${count.toLocaleString()}]` : `{${count.toLocaleString()}}`;
  if (count === 0) return <span>{label}{isList ? "[]" : "{}"}</span>;
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {label}<span className="json-size">{size}</span>
        {!open && <span className="json-gist"> {gistOf(value)}</span>}
      </summary>
      {open && <Entries value={value} depth={depth + 1} />}
    </details>
  );
}

function Entries({ value, depth }: { readonly value: Structured; readonly depth: number }) {
  const entries: [string | number, Json][] = Array.isArray(value) ? value.map((item, at) => [at, item]) : Object.entries(value);
  if (entries.length <= PART) return <ul>{entries.map(([name, item]) => <Entry key={name} name={name} value={item} depth={depth} />)}</ul>;
  const parts: [string | number, Json][][] = [];
  for (let from = 0; from < entries.length; from += PART) parts.push(entries.slice(from, from + PART));
  return <ul>{parts.map((part, at) => <Part key={at} from={at * PART} part={part} depth={depth} first={at === 0} />)}</ul>;
}

interface PartProps {
  readonly from: number;
  readonly part: readonly [string | number, Json][];
  readonly depth: number;
  readonly first: boolean;
}

function Part({ from, part, depth, first }: PartProps) {
  const [open, setOpen] = useState(first);
  return (
    <li>
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary className="json-size">{from.toLocaleString()} – {(from + part.length - 1).toLocaleString()}</summary>
        {open && <ul>{part.map(([name, item]) => <Entry key={name} name={name} value={item} depth={depth} />)}</ul>}
      </details>
    </li>
  );
}

function Scalar({ value }: { readonly value: Json }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== "string") return <span className={value === null || typeof value === "boolean" ? "json-word" : "json-number"}>{value instanceof ExactNumber ? value.source : String(value)}</span>;
  const cut = !whole && value.length > LONG_STRING;
  return (
    <>
      <span className="json-string" dir="auto">{JSON.stringify(cut ? value.slice(0, LONG_STRING) : value).replace(/\\n/g, "\n").slice(0, cut ? -1 : undefined)}</span>
      {cut && (
        <button type="button" className="button quiet" onClick={() => setWhole(true)}>
          … {(value.length - LONG_STRING).toLocaleString()} more characters
        </button>
      )}
    </>
  );
}

function isStructure(value: Json): value is Structured {
  return typeof value === "object" && value !== null && !(value instanceof ExactNumber);
}

/** What is in it, in a few words. */
function gistOf(value: Structured): string {
  const words = (Array.isArray(value) ? value.slice(0, 5) : Object.keys(value).slice(0, 5)).map((item) => {
    if (item instanceof ExactNumber) return item.source;
    return typeof item === "object" && item !== null ? "…" : String(item);
  });
  return words.join(", ").slice(0, 80);
}

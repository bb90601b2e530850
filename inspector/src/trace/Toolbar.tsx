import { useState } from "react";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";
import { useTrace } from "./context";
import { NO_QUERY, wordsOf, type Query } from "./find";
import { SessionMenu } from "./SessionMenu";

interface Props {
  readonly query: Query;
  readonly onQuery: (query: Query) => void;
  readonly matches: readonly string[];
  readonly errors: readonly string[];
  readonly current: string | null;
  readonly hasBars: boolean;
  readonly onBars: () => void;
}

/** Finding, hiding, going to what has failed. */
export function Toolbar({ query, onQuery, matches, errors, current, hasBars, onBars }: Props) {
  const { open, reveal } = useTrace();
  const { store } = useSession();
  const [offered, offer] = useState<{ types: readonly string[]; statuses: readonly string[] }>({ types: [], statuses: [] });
  const change = (part: Partial<Query>) => onQuery({ ...query, ...part });
  const hides = query.type !== "" || query.status !== "" || query.seconds > 0 || (query.isStrict && query.words !== "");
  return (
    <div className="tools" role="toolbar" aria-label="Trace">
      <search className="tools-find">
        <Icon name="search" />
        <input type="search" className="field" aria-label="Find in the session" placeholder="Find, also in what is folded"
          value={query.words} onChange={({ target }) => change({ words: target.value })}
          onKeyDown={(event) => {
            if (event.key === "Enter") step(matches, current, event.shiftKey ? -1 : 1, reveal);
            if (event.key === "Escape") change({ words: "" });
          }} />
        {query.words.trim() !== "" && (
          <>
            <Place list={matches} current={current} none="nothing" />
            <Steps list={matches} current={current} what="match" reveal={reveal} />
          </>
        )}
      </search>
      {errors.length > 0 && (
        <span className="tools-errors" data-status="error">
          <span className="chip"><Icon name="error" /><Place list={errors} current={current} none="" /> <span>{errors.length === 1 ? "error" : "errors"}</span></span>
          <Steps list={errors} current={current} what="error" reveal={reveal} />
        </span>
      )}
      <button type="button" className="button quiet" popoverTarget="filters" aria-pressed={hides}><Icon name="filter" />Filter{hides && <span className="chip">on</span>}</button>
      <form id="filters" className="menu filters" popover="auto" onSubmit={(event) => event.preventDefault()}
        onBeforeToggle={() => offer({ types: wordsOf(store, "type"), statuses: wordsOf(store, "status") })}>
        <Choice label="Type" value={query.type} words={offered.types} onChange={(type) => change({ type })} />
        <Choice label="Status" value={query.status} words={offered.statuses} onChange={(status) => change({ status })} />
        <label>At least seconds<input className="field" type="number" min="0" step="any" value={query.seconds || ""} onChange={({ target }) => change({ seconds: Number(target.value) || 0 })} /></label>
        <label className="filters-check"><input type="checkbox" checked={query.isStrict} onChange={({ target }) => change({ isStrict: target.checked })} />Hide what the words do not find</label>
        <button type="button" className="button" onClick={() => onQuery(NO_QUERY)}>Show all</button>
      </form>
      <button type="button" className="button quiet" onClick={() => open.setAll(true)}>Expand all</button>
      <button type="button" className="button quiet" onClick={() => open.setAll(false)}>Collapse all</button>
      <button type="button" className="button quiet tools-bars" aria-pressed={hasBars} onClick={onBars}><Icon name="clock" />Waterfall</button>
      <SessionMenu />
    </div>
  );
}

function Choice({ label, value, words, onChange }: { readonly label: string; readonly value: string; readonly words: readonly string[]; readonly onChange: (word: string) => void }) {
  return (
    <label>
      {label}
      <select className="field" value={value} onChange={({ target }) => onChange(target.value)}>
        <option value="">any</option>
        {words.map((word) => <option key={word}>{word}</option>)}
      </select>
    </label>
  );
}

/** As in `2 of 7`. */
function Place({ list, current, none }: { readonly list: readonly string[]; readonly current: string | null; readonly none: string }) {
  const at = current === null ? -1 : list.indexOf(current);
  return <output className="tools-place">{list.length === 0 ? none : at < 0 ? list.length.toLocaleString() : `${(at + 1).toLocaleString()} of ${list.length.toLocaleString()}`}</output>;
}

function Steps({ list, current, what, reveal }: { readonly list: readonly string[]; readonly current: string | null; readonly what: string; readonly reveal: (key: string) => void }) {
  return (
    <>
      <button type="button" className="button quiet icon-only" aria-label={`Previous ${what}`} disabled={list.length === 0} onClick={() => step(list, current, -1, reveal)}><Icon name="up" /></button>
      <button type="button" className="button quiet icon-only" aria-label={`Next ${what}`} disabled={list.length === 0} onClick={() => step(list, current, 1, reveal)}><Icon name="down" /></button>
    </>
  );
}

/** To the next one, or the one before; around the ends. */
function step(list: readonly string[], current: string | null, by: 1 | -1, reveal: (key: string) => void): void {
  if (list.length === 0) return;
  const at = current === null ? -1 : list.indexOf(current);
  reveal(list[at < 0 ? (by === 1 ? 0 : list.length - 1) : (at + by + list.length) % list.length]!);
}

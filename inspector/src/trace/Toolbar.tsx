import { useState } from "react";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";
import { useTrace } from "./context";
import { Find } from "./Find";
import { NO_QUERY, wordsOf, type Query } from "./find";
import { SessionMenu } from "./SessionMenu";
import { Place, Steps } from "./Steps";

interface Props {
  readonly query: Query;
  readonly onQuery: (query: Query) => void;
  readonly matches: readonly string[];
  /** Which of the matches is shown. */
  readonly hit: string | null;
  readonly onHit: (key: string) => void;
  readonly onLeave: () => boolean;
  readonly errors: readonly string[];
  readonly current: string | null;
  readonly hasBars: boolean;
  readonly onBars: () => void;
}

/** Finding, hiding, going to what has failed. */
export function Toolbar({ query, onQuery, matches, hit, onHit, onLeave, errors, current, hasBars, onBars }: Props) {
  const { open, reveal } = useTrace();
  const { store } = useSession();
  const [offered, offer] = useState<{ types: readonly string[]; statuses: readonly string[] }>({ types: [], statuses: [] });
  const change = (part: Partial<Query>) => onQuery({ ...query, ...part });
  const hides = query.type !== "" || query.status !== "" || query.seconds > 0 || (query.isStrict && query.words !== "");
  return (
    <div className="tools" role="toolbar" aria-label="Trace">
      <Find words={query.words} onWords={(words) => change({ words })} matches={matches} hit={hit} onHit={onHit} onLeave={() => {
        change({ words: "" });
        return onLeave();
      }} />
      {errors.length > 0 && (
        <span className="tools-errors" data-status="error">
          <span className="chip"><Icon name="error" /><Place list={errors} current={current} none="" /> <span>{errors.length === 1 ? "error" : "errors"}</span></span>
          <Steps list={errors} current={current} what="error" onGo={reveal} />
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

import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useConnection, useStore } from "stepwire/react";
import { go, useAddress } from "../app/address";
import { kept } from "../app/root";
import { useNowAndThen, useSession } from "../app/session";
import { RunStatus } from "../lists";
import { Announcements } from "./Announcements";
import { Banners } from "./Banners";
import { Context, type TraceContext } from "./context";
import { faults, finder, NO_QUERY, seenIn, whereOf } from "./find";
import { useHighlights } from "./highlights";
import { Items } from "./items";
import { OpenState } from "./open";
import { Rows, type RowsHandle } from "./Rows";
import { Toolbar } from "./Toolbar";
import { Uploads } from "./Uploads";
import "./trace.css";

const bars = kept("bars");

/** The session as a list of what is to be seen: its messages, and between them what has been done for them. */
export function Trace() {
  const session = useSession();
  const { store } = session;
  const { step: selected } = useAddress();
  const [query, setQuery] = useState(NO_QUERY);
  const [hasBars, setBars] = useState(() => bars.get() !== "no");
  const rows = useRef<RowsHandle>(null);
  const open = useMemo(() => new OpenState(), [session.id]);
  const items = useMemo(() => new Items(store, open), [store, open]);
  useEffect(items.keep, [items]);

  const asked = useDeferredValue(query);
  const where = useMemo(() => whereOf(asked, () => session.serverNow()), [asked, session]);
  useEffect(() => {
    items.where = where;
  }, [items, where]);
  useSyncExternalStore(items.subscribe, () => items.version);
  const { list } = items;
  const { tree } = store;
  const errors = useMemo(() => faults(store), [store, tree, tree.failures]);
  // Looking through all texts is not for each frame.
  const moment = useNowAndThen("rows", anew);
  const find = useMemo(() => finder(asked, where), [asked, where]);
  const matches = useMemo(() => find(store), [store, find, moment]);

  const words = asked.words.trim();
  const [hit, setHit] = useState<{ readonly key: string } | null>(null);
  useHighlights(words, hit);
  const select = useCallback((key: string) => go({ session: session.id, step: key }), [session.id]);
  const reveal = useCallback(
    (key: string) => {
      const run = key.startsWith("run:") ? store.run(key.slice(4)) : undefined;
      const above = run ? run.message_id : key;
      if (above !== null) open.reveal(run ? [...store.path(above), ""] : store.path(above));
      select(key);
      rows.current?.goTo(key);
    },
    [store, open, select],
  );
  /** As {@link reveal}, and the focus stays where the next match is asked for. */
  const showHit = useCallback(
    (key: string) => {
      const step = store.step(key);
      if (!step) return;
      const seen = seenIn(step, (store.tree.of(key)?.descendants ?? 0) > 0, words);
      open.reveal(store.path(key));
      if (seen === "text") open.set(key, true);
      if (seen === "details" || selected !== null) go({ session: session.id, step: key }, { replace: true });
      setHit({ key });
      rows.current?.show(key);
    },
    [store, open, words, selected, session.id],
  );
  const leaveFind = useCallback(() => {
    setHit(null);
    if (hit) rows.current?.goTo(hit.key, "auto");
    return hit !== null;
  }, [hit]);
  useFirst(selected, reveal);
  const before = useRef(selected);
  useEffect(() => {
    // The pane is closed: the focus was in it.
    if (before.current !== null && selected === null) rows.current?.goTo(before.current, "auto");
    before.current = selected;
  }, [selected]);

  const context = useMemo<TraceContext>(
    () => ({ open, items, select, reveal, hasBars }),
    [open, items, select, reveal, hasBars],
  );
  const { state } = useConnection();
  const isEmpty = store.cursor !== null && list.length === 0;
  const isNothing = store.cursor === null && state === "closed";
  return (
    <Context value={context}>
      <section className="trace" aria-label="Trace">
        <Banners />
        {!isNothing && <Toolbar query={query} onQuery={(next) => {
          setQuery(next);
          if (next.words !== query.words) setHit(null);
        }} matches={matches} hit={hit?.key ?? null} onHit={showHit} onLeave={leaveFind} errors={errors} current={selected} hasBars={hasBars}
          onBars={() => {
            bars.set(hasBars ? "no" : null);
            setBars(!hasBars);
          }} />}
        {isEmpty && (
          <p className="trace-empty">{where ? "No step is like that." : "Nothing has happened yet. Send a message to start a run."}</p>
        )}
        <Rows ref={rows} list={list} selected={selected} hit={hit?.key ?? null} isFiltered={where !== null} />
        <div className="trace-below"><RunStatus /></div>
        <Uploads />
        <Announcements />
      </section>
    </Context>
  );
}

const anew = () => ({});

/** A link to a step shows it, once it is there. */
function useFirst(selected: string | null, reveal: (key: string) => void): void {
  const wanted = useRef(selected);
  const isThere = useStore("rows", (store) => {
    const key = wanted.current;
    return key !== null && (key.startsWith("run:") ? store.run(key.slice(4)) : store.step(key)) !== undefined;
  });
  useEffect(() => {
    if (!isThere || wanted.current === null) return;
    reveal(wanted.current);
    wanted.current = null;
  }, [isThere, reveal]);
}

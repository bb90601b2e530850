import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import type { SessionEntry, SessionQuery } from "stepwire/lists";
import { follow, go, hrefOf } from "../app/address";
import { announce } from "../app/announce";
import { client } from "../app/gateway";
import { forget, recentSessions } from "../app/recent";
import { may } from "../app/session";
import { Icon, iconOf } from "../design/Icon";
import { Confirm } from "./Confirm";
import "./lists.css";
import { beginSeeing, hasNews, markSeen, useSeen } from "./seen";
import { local, span, useNow } from "./time";
import { useSessions } from "./useSessions";

const ROW_PX = 52;
const STATUSES = ["running", "error", "interrupted", "cancelled", "ok", "idle"] as const;

/** The sessions that the token opens, the one with the newest activity first, live. */
export function SessionList({ current, onOpen }: { readonly current: string | null; readonly onOpen: (id: string) => void }) {
  const [title, setTitle] = useState("");
  const [status, setStatus] = useState("");
  const [subject, setSubject] = useState("");
  const [problem, setProblem] = useState("");
  const query: SessionQuery = useDeferredValue(
    { title: title.trim() || undefined, status: status || undefined, subject: subject.trim() || undefined },
  );
  const sessions = useSessions(query);
  const [doomed, setDoomed] = useState<SessionEntry | null>(null);
  const isFiltered = Boolean(title || status || subject);
  useEffect(() => {
    if (sessions.isLoaded && !isFiltered) beginSeeing(sessions.entries[0]);
  }, [sessions.isLoaded]);
  const create = async () => {
    setProblem("");
    try {
      onOpen((await client.create()).id);
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const remove = async ({ id, title: name }: SessionEntry) => {
    setProblem("");
    try {
      await client.session(id).delete();
      sessions.drop(id);
      forget(id);
      announce(`${name ?? id} is deleted`);
      if (id === current) go({});
    } catch (error) {
      setProblem(`${name ?? id} is not deleted: ${(error as Error).message}`);
    }
  };
  if (sessions.error && !sessions.error.passes && !sessions.isLoaded) return <Recent current={current} why={sessions.error.message} onCreate={create} problem={problem} onOpen={onOpen} />;
  return (
    <div className="lists-sessions">
      <div className="lists-head">
        <div className="lists-row">
          <h2>Sessions</h2>
          {may("write") && <button type="button" className="button" onClick={() => void create()}>New session</button>}
        </div>
        <label className="lists-search">
          <Icon name="search" />
          <input type="search" className="field" placeholder="Search titles" aria-label="Search titles" value={title} onChange={(event) => setTitle(event.target.value)} />
        </label>
        <div className="lists-row">
          <select className="field" aria-label="Status" value={status} onChange={(event) => setStatus(event.target.value)}>
            <option value="">Any status</option>
            {STATUSES.map((word) => <option key={word}>{word}</option>)}
          </select>
          {may("admin") && <input className="field" placeholder="Subject" aria-label="Subject" value={subject} onChange={(event) => setSubject(event.target.value)} />}
        </div>
        {problem && <p className="problem" role="alert">{problem}</p>}
        {!sessions.isLive && sessions.isLoaded && <p className="hint" role="status">Not live just now.</p>}
      </div>
      {sessions.entries.length > 0 ? (
        <Rows {...sessions} current={current} onOpen={onOpen} onDelete={may("admin") ? setDoomed : null} />
      ) : (
        <p className="lists-empty hint" role="status">{!sessions.isLoaded ? "Loading…" : isFiltered ? "No session fits." : "No sessions yet."}</p>
      )}
      {doomed && (
        <Confirm title={`Delete “${doomed.title ?? doomed.id}”?`} verb="Delete" onYes={() => void remove(doomed)} onClose={() => setDoomed(null)}>
          Its steps, messages and files are gone for everyone, and what runs in it is stopped.
        </Confirm>
      )}
    </div>
  );
}

function Rows({ entries, hasMore, loadMore, current, onOpen, onDelete }: {
  readonly entries: readonly SessionEntry[];
  readonly hasMore: boolean;
  readonly loadMore: () => void;
  readonly current: string | null;
  readonly onOpen: (id: string) => void;
  readonly onDelete: ((entry: SessionEntry) => void) | null;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const wanted = useRef<string | null>(null);
  const at = Math.max(0, entries.findIndex(({ id }) => id === (focused ?? current)));
  const list = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => entries[index]!.id,
    overscan: 8,
    // The row that has the focus stays, wherever the list is scrolled to: else the focus would fall to the page.
    rangeExtractor: ({ startIndex, endIndex, overscan, count }) => {
      const shown = new Set<number>([at]);
      for (let i = Math.max(0, startIndex - overscan); i <= Math.min(count - 1, endIndex + overscan); i += 1) shown.add(i);
      return [...shown].filter((i) => i < count).sort((a, b) => a - b);
    },
  });
  const hasCurrent = current !== null && entries.some(({ id }) => id === current);
  useEffect(() => {
    // Another session is shown: its row is, too. Later the list stays where the person has put it.
    if (hasCurrent) list.scrollToIndex(entries.findIndex(({ id }) => id === current));
  }, [current, hasCurrent]);
  const items = list.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && last >= entries.length - 20) loadMore();
  });
  useLayoutEffect(() => {
    // The row may come with a later render than the one that a key has asked for.
    if (wanted.current === null || wanted.current !== entries[at]?.id) return;
    const link = scroller.current?.querySelector<HTMLElement>(`[data-index="${at}"] a`);
    if (!link) return;
    wanted.current = null;
    link.focus({ preventScroll: true });
  });
  const move = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / ROW_PX) - 1);
    const steps: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1, PageDown: at + page, PageUp: at - page };
    if (event.key === "Delete" && onDelete) return onDelete(entries[at]!);
    const to = steps[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const index = Math.min(entries.length - 1, Math.max(0, to));
    list.scrollToIndex(index);
    if (index === at) return;
    wanted.current = entries[index]!.id;
    setFocused(wanted.current);
  };
  return (
    <div ref={scroller} className="lists-scroller">
      <ul className="lists-window" style={{ height: list.getTotalSize() }} aria-label={`${entries.length}${hasMore ? " or more" : ""} sessions`} onKeyDown={move}>
        {items.map(({ index, start }) => {
          const entry = entries[index]!;
          return (
            <Session key={entry.id} entry={entry} index={index} start={start} isCurrent={entry.id === current} isReached={index === at}
              onFocus={() => setFocused(entry.id)} onOpen={onOpen} onDelete={onDelete} />
          );
        })}
      </ul>
    </div>
  );
}

function Session({ entry, index, start, isCurrent, isReached, onFocus, onOpen, onDelete }: {
  readonly entry: SessionEntry;
  readonly index: number;
  readonly start: number;
  readonly isCurrent: boolean;
  readonly isReached: boolean;
  readonly onFocus: () => void;
  readonly onOpen: (id: string) => void;
  readonly onDelete: ((entry: SessionEntry) => void) | null;
}) {
  const isNews = hasNews(entry, useSeen()) && !isCurrent;
  const name = entry.title ?? entry.id;
  useEffect(() => {
    if (isCurrent) markSeen(entry);
  }, [isCurrent, entry]);
  return (
    <li data-index={index} style={{ translate: `0 ${start}px` }} className="lists-session" data-status={entry.status} data-current={isCurrent || undefined}>
      <a href={hrefOf({ session: entry.id })} aria-current={isCurrent ? "page" : undefined} tabIndex={isReached ? 0 : -1} onFocus={onFocus} title={`${name}\n${local(entry.updated_at)}`}
        onClick={(event) => {
          follow(event, { session: entry.id });
          if (event.defaultPrevented) onOpen(entry.id);
        }}>
        <span className="lists-mark"><Icon name={iconOf(entry.status ?? "idle")} turning={entry.status === "running"} /></span>
        <bdi className="lists-title">{name}</bdi>
        {isNews && <span className="lists-news"><span className="visually-hidden">unread</span></span>}
        <span className="lists-about">{entry.status} · <Age at={entry.updated_at} />{entry.subject && <> · <bdi>{entry.subject}</bdi></>}</span>
      </a>
      {onDelete && <button type="button" className="button quiet icon-only lists-delete" tabIndex={isReached ? 0 : -1} aria-label={`Delete ${name}`} title="Delete" onClick={() => onDelete(entry)}><Icon name="close" /></button>}
    </li>
  );
}

function Age({ at }: { readonly at: string }) {
  const ms = useNow(10_000) - Date.parse(at);
  return <time dateTime={at}>{ms < 10_000 ? "now" : `${span(ms)} ago`}</time>;
}

/** For a token that may not list sessions: those that this browser has shown. */
function Recent({ current, why, onCreate, problem, onOpen }: { readonly current: string | null; readonly why: string; readonly problem: string; readonly onCreate: () => Promise<void>; readonly onOpen: (id: string) => void }) {
  const ids = recentSessions();
  return (
    <div className="lists-sessions">
      <div className="lists-head">
        <div className="lists-row">
          <h2>Sessions</h2>
          {may("write") && <button type="button" className="button" onClick={() => void onCreate()}>New session</button>}
        </div>
        <p className="hint">The gateway does not list sessions for you ({why}). These were opened in this browser.</p>
        {problem && <p className="problem" role="alert">{problem}</p>}
      </div>
      {ids.length === 0 ? <p className="lists-empty hint">None yet.</p> : (
        <ul className="lists-recent">
          {ids.map((id) => (
            <li key={id} className="lists-session" data-current={id === current || undefined}>
              <a href={hrefOf({ session: id })} aria-current={id === current ? "page" : undefined} onClick={(event) => {
                follow(event, { session: id });
                if (event.defaultPrevented) onOpen(id);
              }}><bdi className="lists-title">{id}</bdi></a>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

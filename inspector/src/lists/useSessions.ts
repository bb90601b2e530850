import { useEffect, useMemo, useRef, useState } from "react";
import type { StepwireError } from "stepwire";
import type { SessionEntry, SessionQuery } from "stepwire/lists";
import { lists } from "../app/gateway";

const LIVE = 100;
const PAGE = 200;

export interface Sessions {
  readonly entries: readonly SessionEntry[];
  /** Whether the first of them are here. */
  readonly isLoaded: boolean;
  readonly isLive: boolean;
  /** Whether older ones may follow. */
  readonly hasMore: boolean;
  readonly error: StepwireError | null;
  readonly loadMore: () => void;
  readonly drop: (id: string) => void;
}

/** The sessions that fit: the newest live, older ones as far as they were asked for. A hidden page lets the stream go. */
export function useSessions(query: SessionQuery): Sessions {
  const key = JSON.stringify(query);
  const [live, setLive] = useState<readonly SessionEntry[] | null>(null);
  const [older, setOlder] = useState<ReadonlyMap<string, SessionEntry>>(new Map());
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const [error, setError] = useState<StepwireError | null>(null);
  const [isLive, setIsLive] = useState(false);
  const isAsking = useRef(false);
  const isVisible = useVisible();

  useEffect(() => {
    setLive(null);
    setOlder(new Map());
    setNext(undefined);
    setError(null);
  }, [key]);

  useEffect(() => {
    if (!isVisible) return;
    const leaving = new AbortController();
    const onConnection = ({ state }: { state: string }) => setIsLive(state === "live");
    void (async () => {
      try {
        for await (const list of lists.watch({ ...(JSON.parse(key) as SessionQuery), limit: LIVE, signal: leaving.signal, onConnection })) {
          if (leaving.signal.aborted) return;
          setError(null);
          setLive((before) => {
            // One that is gone from the middle of the list was deleted, or fits no more.
            if (before && list.length < LIVE) forgetGone(before, list, setOlder);
            return list;
          });
        }
      } catch (caught) {
        if (!leaving.signal.aborted) setError(caught as StepwireError);
      }
    })();
    return () => {
      leaving.abort();
      setIsLive(false);
    };
  }, [key, isVisible]);

  const entries = useMemo(() => {
    const newest = live ?? [];
    const known = new Set(newest.map(({ id }) => id));
    const rest = [...older.values()].filter(({ id }) => !known.has(id));
    return [...newest, ...rest].sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : 0));
  }, [live, older]);

  const hasMore = live !== null && live.length >= LIVE && next !== null;
  const loadMore = () => {
    if (!hasMore || isAsking.current) return;
    isAsking.current = true;
    lists.sessions({ ...(JSON.parse(key) as SessionQuery), limit: PAGE }, { cursor: next ?? null }).then(
      (page) => {
        setOlder((before) => new Map([...before, ...page.sessions.map((entry) => [entry.id, entry] as const)]));
        setNext(page.next ?? null);
      },
      (caught: unknown) => setError(caught as StepwireError),
    ).finally(() => (isAsking.current = false));
  };
  const drop = (id: string) => {
    setLive((before) => before && before.filter((entry) => entry.id !== id));
    setOlder((before) => new Map([...before].filter(([other]) => other !== id)));
  };
  return { entries, isLoaded: live !== null, isLive, hasMore, error, loadMore, drop };
}

function forgetGone(before: readonly SessionEntry[], list: readonly SessionEntry[], setOlder: (update: (older: ReadonlyMap<string, SessionEntry>) => ReadonlyMap<string, SessionEntry>) => void): void {
  const there = new Set(list.map(({ id }) => id));
  const gone = before.filter(({ id }) => !there.has(id));
  if (gone.length > 0) setOlder((older) => new Map([...older].filter(([id]) => !gone.some((entry) => entry.id === id))));
}

/** Whether the page is seen. */
export function useVisible(): boolean {
  const [isVisible, set] = useState(document.visibilityState === "visible");
  useEffect(() => {
    const look = () => set(document.visibilityState === "visible");
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return isVisible;
}

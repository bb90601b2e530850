/**
 * Hooks for React 18 and later, on `useSyncExternalStore`: a component renders when what it shows has
 * changed, and not otherwise. They are safe in StrictMode, and on a server with a snapshot.
 */
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import type { Stepwire } from "./client.js";
import type { Row, RowOptions } from "./rows.js";
import type { Session, SessionOptions } from "./session.js";
import { Store, type Connection, type Key, type Pending } from "./store.js";
import type { Ref } from "./documents.js";
import { equal } from "./tolerance.js";
import type { AcceptedRun, Ask, Feedback, Run, Snapshot, Step, StepAction, StepElement } from "./vocabulary.js";

/** A session that no component shows any more keeps its stream for so long: StrictMode and routers come back at once. */
const LINGER_MS = 1000;
const TICK_MS = 1000;

interface Shown {
  readonly session: Session;
  users: number;
  timer?: ReturnType<typeof setTimeout>;
}

const shown = new WeakMap<Stepwire, Map<string, Shown>>();
const first = new WeakMap<Store, { snapshot: Snapshot | undefined; store?: Store }>();
const Context = createContext<Session | null>(null);

/**
 * The session of this id, open for as long as a component shows it; all components that ask for it have
 * the same one. `options` count for the first that asks.
 */
export function useSession(client: Stepwire, id: string, options?: SessionOptions): Session {
  // On a server no effect runs that could forget it, so each render has its own.
  const [own] = useState(() => new Map<string, Shown>());
  const sessions = typeof window === "undefined" ? own : sessionsOf(client);
  let one = sessions.get(id);
  if (!one) {
    one = { session: client.session(id, options), users: 0 };
    sessions.set(id, one);
    first.set(one.session.store, { snapshot: options?.snapshot });
  }
  const used = one;
  useEffect(() => {
    clearTimeout(used.timer);
    used.users += 1;
    // It may have been let go of between the render and now.
    sessions.set(id, used);
    used.session.open();
    return () => {
      used.users -= 1;
      if (used.users > 0) return;
      used.timer = setTimeout(() => {
        used.session.close();
        if (sessions.get(id) === used) sessions.delete(id);
      }, LINGER_MS);
    };
  }, [sessions, id, used]);
  return used.session;
}

/** Gives the components below it their session. */
export function SessionProvider({ session, children }: { readonly session: Session; readonly children?: ReactNode }) {
  return createElement(Context.Provider, { value: session }, children);
}

/** The session that a {@link SessionProvider} above has given. */
export function useCurrentSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("there is no SessionProvider above this component");
  return session;
}

/**
 * What `select` makes of the store, anew when something under the key has changed. A value that is equal to
 * the one before stays the same object.
 */
export function useStore<T>(key: Key, select: (store: Store) => T): T {
  const { store } = useCurrentSession();
  const subscribe = useCallback((listener: () => void) => store.subscribe(key, listener), [store, key]);
  const last = useRef<{ value: T } | null>(null);
  const kept = (value: T) => {
    // React asks again and again, and renders without end if each answer is another object.
    if (!last.current || !equal(last.current.value, value)) last.current = { value };
    return last.current.value;
  };
  return useSyncExternalStore(subscribe, () => kept(select(store)), () => kept(select(firstOf(store))));
}

export function useConnection(): Connection {
  return useStore("connection", (store) => store.connection());
}

/** The tree as a flat list, for a list that shows a window of it. Give it functions that stay the same. */
export function useRows(options: RowOptions = ALL): readonly Row[] {
  const { isOpen, where, attempts } = options;
  const kept = useMemo(() => ({ isOpen, where, attempts }), [isOpen, where, attempts]);
  return useStore("rows", (store) => store.rows(kept));
}

export function useChildren(stepId: string | null): readonly Ref[] {
  return useStore("rows", (store) => store.children(stepId));
}

export function useStep(id: string): Step | undefined {
  return useStore(`step:${id}`, (store) => store.step(id));
}

/** A text that may still stream, for a component that shows nothing else of the step. */
export function useStepText(id: string, field: "input" | "output" = "output"): string {
  return useStore(`text:${id}`, (store) => store.step(id)?.[field] ?? "");
}

/** A message of this page that the session does not have yet. */
export function usePending(messageId: string): Pending | undefined {
  return useStore(`step:${messageId}`, (store) => store.pending(messageId));
}

export function useRun(id: string): Run | undefined {
  return useStore(`run:${id}`, (store) => store.run(id));
}

export function useRuns(): readonly Run[] {
  return useStore("runs", (store) => store.runs());
}

/** The asks of a step, open and ended; without an id, those of the whole session. */
export function useAsks(stepId?: string): readonly Ask[] {
  return useStore(stepId === undefined ? "asks" : `asks:${stepId}`, (store) => store.asks(stepId));
}

/** The elements of a step; null: files that were uploaded and not sent yet. */
export function useElements(stepId: string | null): readonly StepElement[] {
  return useStore(`elements:${stepId ?? ""}`, (store) => store.elements(stepId));
}

/** The buttons of a step, and a function that clicks one; it returns the run. */
export function useActions(stepId: string): [readonly StepAction[], (actionId: string) => Promise<AcceptedRun>] {
  const session = useCurrentSession();
  const actions = useStore(`actions:${stepId}`, (store) => store.actions(stepId));
  const click = useCallback((actionId: string) => session.click(actionId), [session]);
  return [actions, click];
}

/** The feedback on a step, and a function that gives it. */
export function useFeedback(stepId: string): [Feedback | null, (value: 0 | 1 | null, comment?: string) => Promise<void>] {
  const session = useCurrentSession();
  const feedback = useStore(`feedback:${stepId}`, (store) => store.feedback(stepId));
  const rate = useCallback((value: 0 | 1 | null, comment?: string) => session.rate(stepId, value, comment), [session, stepId]);
  return [feedback, rate];
}

/** Whether a step shows what is below it, and how the person changes that. */
export function useOpen(stepId: string): [boolean, (open: boolean | null) => void] {
  const { store } = useCurrentSession();
  const open = useStore("rows", (store) => store.isOpen(stepId));
  return [open, useCallback((choice: boolean | null) => store.setOpen(stepId, choice), [store, stepId])];
}

/** How long a step has taken so far, in milliseconds of the server's clock; null for one that is not there. */
export function useElapsed(stepId: string): number | null {
  const session = useCurrentSession();
  const step = useStep(stepId);
  const [now, tick] = useState<number | null>(null);
  const isRunning = step?.status === "running";
  useEffect(() => {
    if (!isRunning) return;
    const look = () => tick(session.serverNow());
    look();
    const timer = setInterval(look, TICK_MS);
    return () => clearInterval(timer);
  }, [session, isRunning]);
  if (!step) return null;
  const started = Date.parse(step.started_at);
  // A server that renders it knows another time than the page: before the first tick it is 0.
  const end = step.ended_at ? Date.parse(step.ended_at) : (now ?? started);
  return Math.max(0, end - started);
}

/** An address of the bytes of an element that does not go stale with a token; null until they are there. */
export function useElementUrl(element: Pick<StepElement, "id" | "url">): string | null {
  const session = useCurrentSession();
  const [url, setUrl] = useState<string | null>(null);
  const { url: source } = element;
  const made = useRef<string | null>(null);
  useEffect(() => {
    if (!source.startsWith("/")) {
      setUrl(source);
      return;
    }
    const leaving = new AbortController();
    session.elementBlob({ url: source }, leaving.signal).then(
      (blob) => {
        if (!leaving.signal.aborted) setUrl((made.current = URL.createObjectURL(blob)));
      },
      () => setUrl(null),
    );
    return () => {
      leaving.abort();
      if (made.current) URL.revokeObjectURL(made.current);
      made.current = null;
    };
  }, [session, source]);
  return url;
}

const ALL: RowOptions = {};

function sessionsOf(client: Stepwire): Map<string, Shown> {
  const sessions = shown.get(client) ?? new Map<string, Shown>();
  shown.set(client, sessions);
  return sessions;
}

/** The store as the server rendered it, for hydration: events may have come since. */
function firstOf(store: Store): Store {
  const known = first.get(store);
  return known ? (known.store ??= new Store(known.snapshot)) : store;
}

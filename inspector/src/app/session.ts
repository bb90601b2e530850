/** What the parts of the page share of the session that is shown. Selectors of single documents are in `stepwire/react`. */
import { useCallback, useRef, useSyncExternalStore } from "react";
import type { Key, Store } from "stepwire";
import { useCurrentSession, useStore } from "stepwire/react";
import { claims } from "./token";

/** The session: what a person can do in it, and its store. */
export const useSession = useCurrentSession;

/** Whether the session takes what a person does: its stream is not closed, and the token has the right to. */
export function useWritable(): boolean {
  const state = useStore("connection", (store) => store.connection().state);
  return state !== "closed" && may("write");
}

/** Whether the token has a right; of a token that does not tell its rights, the gateway will say. */
export function may(right: string): boolean {
  const { rights } = claims();
  return !Array.isArray(rights) || rights.includes(right) || rights.includes("admin");
}

const PAUSE_MS = 250;

/** As `useStore`, for what costs too much to be made in each frame, or changes too often to be read: some times a second. */
export function useNowAndThen<T>(key: Key, select: (store: Store) => T): T {
  const { store } = useSession();
  const known = useRef<{ readonly store: Store; readonly key: Key; readonly value: T } | null>(null);
  const subscribe = useCallback(
    (listener: () => void) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      let lookedAt = -Infinity;
      const look = () => {
        timer = undefined;
        lookedAt = performance.now();
        known.current = null;
        listener();
      };
      const leave = store.subscribe(key, () => {
        const rest = PAUSE_MS - (performance.now() - lookedAt);
        if (timer === undefined && rest <= 0) look();
        else timer ??= setTimeout(look, rest);
      });
      return () => {
        leave();
        clearTimeout(timer);
      };
    },
    [store, key],
  );
  return useSyncExternalStore(subscribe, () => {
    if (known.current?.store !== store || known.current.key !== key) known.current = { store, key, value: select(store) };
    return known.current.value;
  });
}

/**
 * What a person has begun with a question, a button or the box, and what came of it. It belongs to the session,
 * not to a component: a row that is scrolled out of sight is taken apart, and what was typed in it must not go.
 */
import { useCallback, useSyncExternalStore } from "react";
import { newId, StepwireError, type Session } from "stepwire";
import { useSession } from "../app/session";
import { tokenIsRefused } from "./token";

class Values {
  readonly #values = new Map<string, unknown>();
  readonly #listeners = new Set<() => void>();

  get<T>(name: string, initial: T): T {
    return this.#values.has(name) ? (this.#values.get(name) as T) : initial;
  }

  set(name: string, value: unknown): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
    for (const listener of this.#listeners) listener();
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}

const ofSessions = new WeakMap<Session, Values>();

function valuesOf(session: Session): Values {
  const values = ofSessions.get(session) ?? new Values();
  ofSessions.set(session, values);
  return values;
}

/** A value of the session's; `initial` must be the same object each time. Setting `undefined` forgets it. */
export function useKept<T>(name: string, initial: T): [T, (value: T | undefined) => void] {
  const values = valuesOf(useSession());
  const value = useSyncExternalStore(values.subscribe, () => values.get(name, initial));
  return [value, useCallback((next: T | undefined) => values.set(name, next), [values, name])];
}

interface Try {
  readonly busy: boolean;
  readonly problem: string;
  readonly code: string | null;
  /** What was sent without an answer: it may have arrived, so the same once more has the same id. */
  readonly unanswered: { readonly key: string; readonly id: string } | null;
}

const IDLE: Try = { busy: false, problem: "", code: null, unanswered: null };

export interface Sending {
  readonly busy: boolean;
  /** What went wrong last, in words; empty if nothing did. */
  readonly problem: string;
  readonly code: string | null;
  /** What was sent last and got no answer: the same again is taken once. */
  readonly unanswered: string | null;
  /**
   * Does what makes a request, one at a time: while one is under way, another one is dropped. `key` says what is
   * sent; `work` gets an id, which is the same when the same is sent again after no answer came.
   *
   * @returns whether it was taken
   */
  readonly send: (key: unknown, work: (id: string) => Promise<unknown>) => Promise<boolean>;
  readonly complain: (problem: string) => void;
}

/** Sending something that must be taken once, however often it is clicked. */
export function useSending(name: string): Sending {
  const values = valuesOf(useSession());
  const field = `sending ${name}`;
  const state = useSyncExternalStore(values.subscribe, () => values.get(field, IDLE));
  const set = (change: Partial<Try>) => values.set(field, { ...values.get(field, IDLE), ...change });
  return {
    busy: state.busy,
    problem: state.problem,
    code: state.code,
    unanswered: state.unanswered?.key ?? null,
    complain: (problem) => set({ problem, code: null }),
    async send(what, work) {
      // Not the state of the last render: two clicks may come before the next one.
      const before = values.get(field, IDLE);
      if (before.busy) return false;
      const key = JSON.stringify(what);
      const id = before.unanswered?.key === key ? before.unanswered.id : newId();
      set({ busy: true, problem: "", code: null, unanswered: { key, id } });
      try {
        await work(id);
        set({ busy: false, unanswered: null });
        return true;
      } catch (error) {
        const { code, message, isRefusal } = problemOf(error);
        set({ busy: false, problem: message, code, ...(isRefusal && { unanswered: null }) });
        if (code === "unauthenticated") tokenIsRefused();
        return false;
      }
    },
  };
}

function problemOf(error: unknown): { code: string; message: string; isRefusal: boolean } {
  if (!(error instanceof StepwireError)) return { code: "", message: String(error), isRefusal: false };
  const { status, code, message } = error;
  if (code === "unauthenticated") return { code, message: "The token has ended: give another one above.", isRefusal: true };
  if (status === 0) return { code, message: `The gateway does not answer (${message}).`, isRefusal: false };
  return { code, message, isRefusal: status >= 400 && status < 500 && code !== "still_in_progress" };
}

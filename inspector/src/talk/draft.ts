import { useCallback, useRef } from "react";
import type { Session } from "stepwire";
import { kept } from "../app/root";
import { useSession } from "../app/session";
import { useKept } from "./kept";

/** What is written and not sent, of one session. It outlives a reload, in its tab alone: two tabs write two messages. */
interface Draft {
  readonly text: string;
  /** The question that it answers; null: it is a message. */
  readonly target: string | null;
}

const EMPTY: Draft = { text: "", target: null };

/** The run whose message is sent anew, in other words. */
export interface Again {
  readonly retryOf: string;
  readonly text: string;
  /** Files of that message, which do not come along. */
  readonly files: number;
}

export const useAgain = () => useKept<Again | null>("again", null);

const stored = (session: Session) => kept(`draft ${session.id}`, "session");

/** The draft as it was when the page was left. */
export function storedDraft(session: Session): Draft {
  try {
    const { text, target } = JSON.parse(stored(session).get() ?? "null") ?? EMPTY;
    return typeof text === "string" ? { text, target: typeof target === "string" ? target : null } : EMPTY;
  } catch {
    return EMPTY;
  }
}

/** The text in the box, and a function that sets it and keeps it. */
export function useDraft(target: string | null): [string, (text: string) => void] {
  const session = useSession();
  const first = useRef<string>(null);
  first.current ??= storedDraft(session).text;
  const [text, setText] = useKept("text", first.current);
  const write = useCallback((next: string) => {
    setText(next);
    stored(session).set(next === "" ? null : JSON.stringify({ text: next, target } satisfies Draft));
  }, [session, setText, target]);
  return [text, write];
}

/** Which sessions have news for this browser: what was seen of each, kept for the most recent ones. */
import { useSyncExternalStore } from "react";
import type { SessionEntry } from "stepwire/lists";
import { kept } from "../app/root";

const MOST = 500;
const store = kept("seen-sessions");
const listeners = new Set<() => void>();

interface Seen {
  /** What happened before this browser came here for the first time is no news. By the server's clock. */
  readonly since: string;
  readonly at: Readonly<Record<string, string>>;
}

let known: Seen | null = null;

function seen(): Seen | null {
  if (known) return known;
  try {
    const stored = JSON.parse(store.get() ?? "") as Seen;
    if (typeof stored.since === "string" && typeof stored.at === "object") return (known = stored);
  } catch {
    // Nothing, or not ours.
  }
  return null;
}

/** With the whole list, the first time that this browser has it. */
export function beginSeeing(newest: SessionEntry | undefined): void {
  if (seen() === null) keep({ since: newest?.updated_at ?? "", at: {} });
}

function keep(next: Seen): void {
  known = next;
  store.set(JSON.stringify(next));
  for (const listener of listeners) listener();
}

export function useSeen(): Seen | null {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, seen);
}

export function hasNews(entry: SessionEntry, seen: Seen | null): boolean {
  return seen !== null && entry.updated_at > (seen.at[entry.id] ?? seen.since);
}

export function markSeen(entry: SessionEntry): void {
  const { since, at } = seen() ?? { since: entry.updated_at, at: {} as Seen["at"] };
  if (at[entry.id] !== undefined && at[entry.id]! >= entry.updated_at) return;
  const { [entry.id]: _, ...others } = at;
  const newest = Object.entries(others).slice(-(MOST - 1));
  keep({ since, at: { ...Object.fromEntries(newest), [entry.id]: entry.updated_at } });
}

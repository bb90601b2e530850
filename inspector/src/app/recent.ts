/** The sessions that this browser has shown last: for those whose token lists none. */
import { kept } from "./root";

const store = kept("recent-sessions");
const MOST = 6;

export function recentSessions(): readonly string[] {
  try {
    const recent: unknown = JSON.parse(store.get() ?? "[]");
    return Array.isArray(recent) ? recent.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

export function remember(id: string): void {
  store.set(JSON.stringify([id, ...recentSessions().filter((one) => one !== id)].slice(0, MOST)));
}

/** It is gone. */
export function forget(id: string): void {
  store.set(JSON.stringify(recentSessions().filter((one) => one !== id)));
}

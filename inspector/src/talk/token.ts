/** Whether the gateway has refused the token that the page has: another one is needed, and nothing is lost meanwhile. */
import { useSyncExternalStore } from "react";
import { currentToken, setToken } from "../app/token";

/** What was refused; undefined: nothing. */
let refused: string | null | undefined;
const listeners = new Set<() => void>();

function tell(): void {
  for (const listener of listeners) listener();
}

export function tokenIsRefused(): void {
  refused = currentToken();
  tell();
}

/** The person gives another token. */
export function replaceToken(token: string): void {
  setToken(token);
  refused = undefined;
  tell();
}

export function useTokenIsRefused(): boolean {
  return useSyncExternalStore(subscribe, () => refused !== undefined && refused === currentToken());
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

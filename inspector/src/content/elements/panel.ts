import type { Session, StepElement } from "stepwire";
import { useSyncExternalStore } from "react";

/** The element that is open beside the conversation, or as a page of its own. */
export interface Opened {
  readonly session: Session;
  readonly id: string;
  readonly stepId: string | null;
  readonly display: "side" | "page";
}

let opened: Opened | null = null;
const listeners = new Set<() => void>();

/** Opens an element. What opened it may go out of view: the element stays open. */
export function showElement(session: Session, { id, step_id }: StepElement, display: "side" | "page"): void {
  set({ session, id, stepId: step_id ?? null, display });
}

export function closeElement(): void {
  set(null);
}

export function useOpened(): Opened | null {
  return useSyncExternalStore(subscribe, () => opened);
}

function set(next: Opened | null): void {
  opened = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

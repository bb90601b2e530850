import { createContext, useContext, useSyncExternalStore } from "react";
import type { Items } from "./items";
import type { OpenState } from "./open";

/** What the parts of a trace share. */
export interface TraceContext {
  readonly open: OpenState;
  readonly items: Items;
  /** Shows a step or run in the detail pane. */
  readonly select: (key: string) => void;
  /** Opens what is above it, goes there, and shows it. */
  readonly reveal: (key: string) => void;
  readonly hasBars: boolean;
}

export const Context = createContext<TraceContext | null>(null);

export function useTrace(): TraceContext {
  const context = useContext(Context);
  if (!context) throw new Error("this is not in a trace");
  return context;
}

/** Renders again when something is opened or closed. */
export function useOpenState(): OpenState {
  const { open } = useTrace();
  useSyncExternalStore(open.subscribe, () => open.isOpen);
  return open;
}

/**
 * Where the page is, in its address: `?session=ID` with `&step=ID` for one step of it, or `?view=operations`.
 * So every place is a link, and Back goes back.
 */
import { useSyncExternalStore } from "react";
import { ROOT } from "./root";

export interface Address {
  readonly session: string | null;
  /** The step, or with `run:` before it the run, that the detail pane shows. */
  readonly step: string | null;
  readonly view: string | null;
}

const NAMES = ["session", "step", "view"] as const;
const CHANGED = "stepwire:address";

let known: { search: string; address: Address } | null = null;

export function addressNow(): Address {
  const { search } = location;
  if (known?.search !== search) {
    const asked = new URLSearchParams(search);
    known = { search, address: { session: asked.get("session") || null, step: asked.get("step") || null, view: asked.get("view") || null } };
  }
  return known!.address;
}

/** The address of a place; what is not named is not there: another session shows none of this one's steps. */
export function hrefOf(place: Partial<Address>): string {
  const query = new URLSearchParams(NAMES.flatMap((name) => (place[name] ? [[name, place[name]]] : [])));
  return query.size > 0 ? `${ROOT}?${query}` : ROOT;
}

/** Goes there; `replace` leaves no entry to go back to. */
export function go(place: Partial<Address>, { replace = false } = {}): void {
  const href = hrefOf(place);
  if (href === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  dispatchEvent(new Event(CHANGED));
}

export function useAddress(): Address {
  return useSyncExternalStore(subscribe, addressNow);
}

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(CHANGED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(CHANGED, listener);
  };
}

/** For `onClick` of a link into the page: a click with a modifier stays the browser's. */
export function follow(event: React.MouseEvent<HTMLAnchorElement>, place: Partial<Address>): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(place);
}

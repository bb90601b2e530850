/**
 * The token that the page was opened with: `/#token=…`, or `/?token=…`.
 *
 * A fragment is not sent to any server. Either way it is taken out of the address, so that it is in no bookmark
 * and no screenshot, and kept for this tab alone.
 */
import { kept } from "./root";

const store = kept("token", "session");

/** Call it before anything is fetched, and when the fragment changes. Returns whether there was one. */
export function takeToken(): boolean {
  const address = new URL(location.href);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const given = fragment.get("token") ?? address.searchParams.get("token");
  if (given === null) return false;
  store.set(given || null);
  fragment.delete("token");
  address.searchParams.delete("token");
  address.hash = fragment.toString();
  history.replaceState(history.state, "", address);
  return true;
}

export const currentToken = () => store.get();
export const setToken = (token: string | null) => store.set(token);

/** What the token says of itself; empty for none, and for one that is not a JSON Web Token. */
export function claims(): Readonly<Record<string, unknown>> {
  try {
    const part = store.get()?.split(".")[1] ?? "";
    return JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>;
  } catch {
    return {};
  }
}

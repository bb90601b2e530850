/**
 * The token that the page was opened with: `/#token=…`.
 *
 * A fragment is not sent to any server. It is taken out of the address, so that it is in no
 * bookmark and no screenshot, and kept for this tab alone.
 */

import { ownKey } from "./root.js";

const KEY = ownKey("token");

/** @type {string | null} */
let token = null;

/** Call once, before anything is fetched. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (given !== null) sessionStorage.setItem(KEY, given);
    token = sessionStorage.getItem(KEY);
  } catch {
    // A browser that keeps nothing: it is there until the page is left.
    token = given;
  }
  if (given !== null) history.replaceState(history.state, "", location.pathname + location.search);
}

/** @returns {Record<string, string>} headers for what the page fetches */
export const authorization = () => (token ? { authorization: `Bearer ${token}` } : {});

/**
 * For what a browser opens by itself, without headers: EventSource, img, links.
 *
 * @param {string} url a path of the gateway
 */
export function withToken(url) {
  if (!token) return url;
  return `${url}${url.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;
}

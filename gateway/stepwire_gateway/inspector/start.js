import { createSession, Problem } from "./api.js";
import { el } from "./dom.js";
import { ownKey, ROOT } from "./root.js";

const RECENT_KEY = ownKey("recent-sessions");
const MAX_RECENT = 6;

/**
 * The screen before a session is chosen.
 *
 * @param {HTMLElement} screen
 * @param {(sid: string) => void} open
 */
export function showStart(screen, open) {
  screen.hidden = false;
  const problem = screen.querySelector(".problem");
  const newButton = screen.querySelector("#new-session");
  newButton.addEventListener("click", async () => {
    newButton.disabled = true;
    problem.hidden = true;
    try {
      open((await createSession()).session_id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      newButton.disabled = false;
    }
  });
  screen.querySelector("#open-session").addEventListener("submit", (event) => {
    event.preventDefault();
    const sid = screen.querySelector("#session-id").value.trim();
    if (sid) open(sid);
  });
  const recent = recentSessions();
  screen.querySelector("#recent").hidden = recent.length === 0;
  screen.querySelector("#recent ul").replaceChildren(
    ...recent.map((sid) => el("li", {}, el("a", { href: sessionUrl(sid) }, sid))));
}

/** @param {string} sid */
export const sessionUrl = (sid) => `${ROOT}?session=${encodeURIComponent(sid)}`;

/** @param {string} sid */
export function remember(sid) {
  const recent = [sid, ...recentSessions().filter((one) => one !== sid)].slice(0, MAX_RECENT);
  try {
    localStorage.setItem(RECENT_KEY, JSON.stringify(recent));
  } catch {
    // A browser that keeps nothing (private, storage full): the list is a convenience.
  }
}

/** @param {string} sid of a session that is gone */
export function forget(sid) {
  const rest = recentSessions().filter((one) => one !== sid);
  try {
    localStorage.setItem(RECENT_KEY, JSON.stringify(rest));
  } catch {
    // As above.
  }
}

/** @returns {string[]} the latest first */
function recentSessions() {
  try {
    const recent = JSON.parse(localStorage.getItem(RECENT_KEY) ?? "[]");
    return Array.isArray(recent) ? recent.filter((sid) => typeof sid === "string") : [];
  } catch {
    return [];
  }
}

import { Composer } from "./composer.js";
import { copyButton } from "./dom.js";
import { Follow } from "./follow.js";
import { ServerClock } from "./format.js";
import { Session } from "./session.js";
import { remember, sessionUrl, showStart } from "./start.js";
import { StatusBar } from "./status.js";
import { isMessage } from "./step.js";
import { Stream } from "./stream.js";
import { takeToken } from "./token.js";
import { Tree } from "./tree.js";

const ANNOUNCED_CHARS = 300;

const find = (/** @type {string} */ selector) =>
  /** @type {HTMLElement} */ (document.querySelector(selector));

/** @param {string} sid */
function openSession(sid) {
  find("#start").hidden = true;
  find("#session").hidden = false;
  find("#session-actions").hidden = false;
  document.title = `${sid} · stepwire`;
  find("#session-name").textContent = sid;
  find("#session-name").after(copyButton(() => sid, "Copy the session id"));

  const session = new Session();
  const clock = new ServerClock();
  const follow = new Follow(find("#scroller"), find("#jump"));
  const status = new StatusBar(find("#status"), find("#gap-warning"), find("#announcer"));
  const tree = new Tree(find("#timeline"), sid, session, clock, () => {
    find("#empty").hidden = session.roots.length > 0;
    status.show(stream, session);
    follow.grown();
  });
  const stream = new Stream(sid, {
    onEvent(type, data) {
      if (type === "snapshot") clock.caughtUp();
      else clock.observe(data.ts);
      tree.show(session.apply(type, data));
      const words = announcement(type, data);
      if (words) status.announce(words);
    },
    onConnection(connection, problem) {
      if (connection === "live") {
        clock.opened();
        remember(sid);
      }
      status.show(stream, session);
      if (connection !== "connecting") status.announce(`Connection: ${connection}`);
      showClosed(problem);
    },
  });
  const composer = new Composer(
    /** @type {HTMLFormElement} */ (find("#composer")), sid, () => follow.jump());
  find("#expand-all").addEventListener("click", () => tree.chooseAll(true));
  find("#collapse-all").addEventListener("click", () => tree.chooseAll(false));
  // On a touch screen, focus would bring the keyboard up over what there is to read.
  if (matchMedia("(hover: hover)").matches) composer.focus();
  stream.open();
}

/** @param {import("./api.js").Problem | null} problem */
function showClosed(problem) {
  find("#closed").hidden = !problem;
  find("#composer").hidden = Boolean(problem);
  if (problem) find("#empty").hidden = true;
  find("#closed-title").textContent = problem?.title ?? "";
  find("#closed-detail").textContent = problem?.message ?? "";
  find("#closed-code").textContent = problem ? `${problem.status} ${problem.code}` : "";
}

/** What a reader who listens is told: messages and ends, not tokens. */
function announcement(type, data) {
  if (type === "step.end" && isMessage(data) && data.type !== "user_message") {
    return `${data.name}: ${data.output.slice(0, ANNOUNCED_CHARS)}`;
  }
  if (type === "run.end" && data.status !== "ok") {
    return `${data.handler}: ${data.status}${data.will_retry ? ", will retry" : ""}`;
  }
  return "";
}

takeToken();
const sid = new URLSearchParams(location.search).get("session");
if (sid) {
  openSession(sid);
} else {
  showStart(find("#start"), (chosen) => {
    history.pushState(null, "", sessionUrl(chosen));
    openSession(chosen);
  });
}
// Going back to the start screen or another session: a page that starts afresh has no leftovers.
addEventListener("popstate", () => location.reload());

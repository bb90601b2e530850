import { Problem } from "./api.js";
import { Attachments } from "./attachments.js";
import { Composer } from "./composer.js";
import { copyButton } from "./dom.js";
import { acceptDrops } from "./drop.js";
import { Follow } from "./follow.js";
import { ServerClock } from "./format.js";
import { offerLifecycle } from "./lifecycle.js";
import { outcome, wanted } from "./question.js";
import { Session } from "./session.js";
import { forget, remember, sessionUrl, showStart } from "./start.js";
import { StatusBar } from "./status.js";
import { isMessage } from "./step.js";
import { Stream } from "./stream.js";
import { takeToken } from "./token.js";
import { Tree } from "./tree.js";

const ANNOUNCED_CHARS = 300;

const NOTHING = { title: "", message: "" };
const gone = (/** @type {string} */ title, /** @type {string} */ detail) =>
  new Problem({ status: 404, code: "session_not_found", title, detail });
const GONE = gone("This session is gone.",
  "It was deleted or has expired. Below is its last known state.");
const DELETED = gone("You have deleted this session.", "Below is its last known state.");

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
  const uploads = new Attachments();
  find("#uploads").append(uploads.element);
  const tree = new Tree(find("#timeline"), sid, session, clock, {
    afterFlush() {
      uploads.show(session.uploads);
      find("#uploads").hidden = session.uploads.size === 0;
      find("#empty").hidden = session.roots.length + session.uploads.size > 0;
      composer.refresh();
      status.show(stream, session);
      follow.grown();
    },
    onAnswer: (ask) => composer.answer(ask),
  });
  const stream = new Stream(sid, {
    onEvent(type, data) {
      if (type === "snapshot") clock.caughtUp();
      else clock.observe(data.ts);
      tree.show(session.apply(type, data));
      const words = announcement(type, data, session);
      if (words) status.announce(words);
    },
    onConnection(connection, problem) {
      if (connection === "live") {
        clock.opened();
        remember(sid);
      }
      status.show(stream, session);
      if (connection !== "connecting") status.announce(`Connection: ${connection}`);
      if (connection === "closed") tree.freeze();
      if (problem?.code === "session_not_found") forget(sid);
      showClosed(problem, stream.events > 0);
    },
  });
  const composer = new Composer(
    /** @type {HTMLFormElement} */ (find("#composer")), sid, session, {
      onSent: () => follow.jump(),
      onTarget: (askId) => tree.showAnswering(askId),
    });
  const parts = { menu: find("#menu"), dialog: /** @type {HTMLDialogElement} */ (find("#confirm-delete")) };
  offerLifecycle(parts, sid, () => stream.close(DELETED));
  acceptDrops(find("#drop"), (files, at) => {
    const ask = /** @type {HTMLElement | null} */ (at.closest("[data-ask-id]"));
    if (at.closest("#composer")) composer.attach(files);
    else if (!tree.offerFiles(files, ask?.dataset.askId)) composer.attach(files);
  });
  find("#expand-all").addEventListener("click", () => tree.chooseAll(true));
  find("#collapse-all").addEventListener("click", () => tree.chooseAll(false));
  // On a touch screen, focus would bring the keyboard up over what there is to read.
  if (matchMedia("(hover: hover)").matches) composer.focus();
  stream.open();
}

/** @param {Problem | null} problem @param {boolean} wasThere whether it was open before */
function showClosed(problem, wasThere) {
  const isGone = wasThere && problem?.code === "session_not_found";
  const { title, message } = (isGone && problem !== DELETED ? GONE : problem) ?? NOTHING;
  find("#closed").hidden = !problem;
  find("#composer").hidden = Boolean(problem);
  find("#more").hidden = Boolean(problem);
  find("#session").classList.toggle("over", Boolean(problem));
  if (problem) find("#empty").hidden = true;
  find("#closed-title").textContent = title;
  find("#closed-detail").textContent = message;
  find("#closed-code").textContent = problem && !isGone ? `${problem.status} ${problem.code}` : "";
}

/** Announcements for screen readers: messages, questions and ends, not tokens. */
function announcement(type, data, session) {
  if (type === "ask") {
    const question = session.steps.get(data.step_id)?.doc.output.slice(0, ANNOUNCED_CHARS) ?? "";
    const labels = data.actions.map(({ label }) => label).join(", ");
    const how = { action: `Choose one: ${labels}`, file: wanted(data) }[data.kind] ?? "Waits for a text";
    return `Question: ${question} ${how}`;
  }
  if (type === "ask.end") return outcome(data);
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

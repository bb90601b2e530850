/** JSON over HTTP, as docs/protocol.md has it. */

import { ROOT } from "./root.js";
import { authorization, withToken } from "./token.js";

const TOKEN_HINT = "Open this page with “#token=…” at the end of its address.";

/** An answer that is not 2xx, or none at all. `status` is 0 when nothing answered. */
export class Problem extends Error {
  /** @param {{status: number, title: string, detail?: string, code?: string}} document */
  constructor({ status, title, detail, code }) {
    super(status === 401 ? `${detail || title}. ${TOKEN_HINT}` : detail || title);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.code = code ?? "";
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] a file goes as it is, anything else as JSON
 * @returns {Promise<any>} the answer's JSON
 * @throws {Problem}
 */
async function request(method, path, body) {
  const isFile = body instanceof Blob;
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, {
      method,
      // The browser gives the type of a file; without one, the gateway uses the name.
      headers: {
        accept: "application/json",
        ...(isFile ? {} : { "content-type": "application/json" }),
        ...authorization(),
      },
      body: body === undefined || isFile ? body : JSON.stringify(body),
    });
  } catch {
    throw new Problem({ status: 0, title: "The gateway does not answer." });
  }
  // A proxy in between may answer with something that is not JSON.
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Problem({
    title: response.statusText || `Status ${response.status}`,
    ...answer,
    status: response.status,
  });
}

const SESSIONS = `${ROOT}v1/sessions`;

const sessionPath = (sid) => `${SESSIONS}/${encodeURIComponent(sid)}`;

/** @param {string} sid @param {string | null} after the cursor to go on from */
export const eventsUrl = (sid, after) =>
  withToken(`${sessionPath(sid)}/events${after ? `?after=${encodeURIComponent(after)}` : ""}`);

/** @returns {Promise<{session_id: string}>} */
export const createSession = () => request("POST", SESSIONS, {});

/** @param {string} sid */
export const readSession = (sid) => request("GET", sessionPath(sid));

/** @param {string} sid @param {string} runId */
export const cancelRun = (sid, runId) =>
  request("POST", `${sessionPath(sid)}/runs/${encodeURIComponent(runId)}/cancel`);

/** @param {string} sid @param {{id: string, content: string, elements: string[]}} message */
export const sendMessage = (sid, message) =>
  request("POST", `${sessionPath(sid)}/messages`, message);

/** @param {string} sid @param {File} file @returns {Promise<import("./session.js").Element>} */
export const uploadFile = (sid, file) =>
  request("POST", `${sessionPath(sid)}/elements?name=${encodeURIComponent(file.name)}`, file);

/**
 * @param {string} sid
 * @param {string} askId
 * @param {{id: string, content?: string, action?: string, files?: string[]}} answer
 * @returns {Promise<import("./session.js").Ask>}
 */
export const answerAsk = (sid, askId, answer) =>
  request("POST", `${sessionPath(sid)}/asks/${encodeURIComponent(askId)}`, answer);

/** @param {string} sid @param {string} actionId @param {{id: string}} click the id of its run */
export const clickAction = (sid, actionId, click) =>
  request("POST", `${sessionPath(sid)}/actions/${encodeURIComponent(actionId)}`, click);

/** @param {string} sid @param {string} stepId @param {0 | 1 | null} value null takes it back */
export function rateStep(sid, stepId, value) {
  const path = `${sessionPath(sid)}/steps/${encodeURIComponent(stepId)}/feedback`;
  return value === null ? request("DELETE", path) : request("PUT", path, { value });
}

/** @param {string} sid @param {string} id of the run */
export const resumeSession = (sid, id) => request("POST", `${sessionPath(sid)}/resume`, { id });

/** @param {string} sid */
export const deleteSession = (sid) => request("DELETE", sessionPath(sid));

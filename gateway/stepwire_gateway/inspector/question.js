/** The question in words, and which answers would do; nothing here touches the page. */
import { bytes, count } from "./format.js";

/** @typedef {import("./session.js").Ask} Ask */

const UNANSWERED = {
  timeout: "No answer came in time",
  cancelled: "Cancelled before anybody answered",
  interrupted: "Interrupted before anybody answered",
};

const TOO_LATE = {
  open: "this question has ended",
  answered: "another person was quicker and has answered",
  timeout: "the time was up",
  cancelled: "the run was stopped",
  interrupted: "the run was interrupted",
};

/** @param {Ask} ask that has ended @returns {string} how */
export function outcome({ kind, status, answer }) {
  if (status !== "answered") return UNANSWERED[status] ?? status;
  return kind === "file" ? `Answered with ${count(answer?.elements.length ?? 0, "file")}` : "Answered";
}

/** @param {Ask["status"]} status as far as it is known @returns {string} why an answer came too late */
export const tooLate = (status) =>
  `Your answer came too late: ${TOO_LATE[status] ?? TOO_LATE.open}. It was not sent.`;

/** @param {Ask} ask for files @returns {string} as in `Up to 2 files of at most 1.0 kB: .csv` */
export function wanted({ accept, max_files, max_bytes }) {
  const many = max_files === 1 ? "1 file" : max_files ? `Up to ${count(max_files, "file")}` : "Files";
  const size = max_bytes === null ? "" : ` of at most ${bytes(max_bytes)}`;
  return `${many}${size}${accept.length ? `: ${accept.join(", ")}` : ""}`;
}

/**
 * @param {Pick<Ask, "accept" | "max_files" | "max_bytes">} limits
 * @param {{name: string, type: string, size: number}[]} files
 * @returns {string} what does not fit; empty if everything does, as far as a browser can tell
 */
export function misfit({ accept, max_files, max_bytes }, files) {
  for (const file of files) {
    if (max_bytes !== null && file.size > max_bytes) {
      return `${file.name} has ${bytes(file.size)}: at most ${bytes(max_bytes)} are asked for.`;
    }
    if (!accepts(accept, file)) {
      return `${file.name} does not have a type that is asked for: ${accept.join(", ")}.`;
    }
  }
  if (max_files !== null && files.length > max_files) {
    return `These are ${count(files.length, "file")}: at most ${max_files} can be sent.`;
  }
  return "";
}

/** (WHATWG HTML, 4.10.5.1.17.) A file whose type the browser does not know is for the gateway to judge. */
function accepts(accept, { name, type }) {
  const mime = type.split(";")[0].trim().toLowerCase();
  const family = `${mime.split("/")[0]}/*`;
  return accept.length === 0 || accept.map((item) => item.toLowerCase()).some((item) =>
    item.startsWith(".")
      ? name.toLowerCase().endsWith(item)
      : mime === "" || [mime, family, "*/*"].includes(item));
}

/**
 * @param {string} expiresAt RFC 3339
 * @param {number} nowMs the server's
 * @returns {string} `2 min left`, `45 s left`, `time is up`; empty without a readable time
 */
export function timeLeft(expiresAt, nowMs) {
  const seconds = Math.ceil((Date.parse(expiresAt) - nowMs) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (seconds <= 0) return "time is up";
  if (seconds <= 90) return `${seconds} s left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min left` : `${Math.round(minutes / 60)} h left`;
}

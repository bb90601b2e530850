/** Questions, files and runs in words; nothing here touches the page. */
import type { Ask } from "stepwire";
import { bytes, count } from "../app/words";

const UNANSWERED: Readonly<Record<string, string>> = {
  timeout: "No answer came in time",
  cancelled: "Cancelled before anybody answered",
  interrupted: "Interrupted before anybody answered",
};

const TOO_LATE: Readonly<Record<string, string>> = {
  answered: "it was answered elsewhere",
  timeout: "the time was up",
  cancelled: "the run was stopped",
  interrupted: "the run was interrupted",
};

/** How a question has ended. */
export function outcome({ kind, status, answer, actions }: Ask): string {
  if (status !== "answered") return UNANSWERED[status] ?? status;
  if (kind === "element") return answer?.submission?.submitted === false ? "Cancelled" : "Answered";
  if (kind === "file") return `Answered with ${count(answer?.elements.length ?? 0, "file")}`;
  const chosen = actions.find(({ id }) => id === answer?.action_id);
  return chosen ? `Answered: ${chosen.label || chosen.name}` : "Answered";
}

/** Why an answer came too late. */
export const tooLate = (status: string) => `Your answer came too late: ${TOO_LATE[status] ?? "the question has ended"}. It was not sent.`;

/** As in `Up to 2 files of at most 1.0 kB: .csv` */
export function wanted({ accept, max_files, max_bytes }: Limits): string {
  const many = max_files === 1 ? "1 file" : max_files ? `Up to ${count(max_files, "file")}` : "Files";
  const size = max_bytes === null ? "" : ` of at most ${bytes(max_bytes)}`;
  return `${many}${size}${accept.length > 0 ? `: ${accept.join(", ")}` : ""}`;
}

type Limits = Pick<Ask, "accept" | "max_files" | "max_bytes">;
type FileLike = Pick<File, "name" | "type" | "size">;

/** What does not fit a question for files; empty if everything does, as far as a browser can tell. */
export function misfit({ accept, max_files, max_bytes }: Limits, files: readonly FileLike[]): string {
  for (const file of files) {
    if (max_bytes !== null && file.size > max_bytes) return `${file.name} has ${bytes(file.size)}: at most ${bytes(max_bytes)} are asked for.`;
    if (!accepts(accept, file)) return `${file.name} does not have a type that is asked for: ${accept.join(", ")}.`;
  }
  if (max_files !== null && files.length > max_files) return `These are ${count(files.length, "file")}: at most ${max_files} can be sent.`;
  return "";
}

/** (WHATWG HTML, 4.10.5.1.17.) A file whose type the browser does not know is for the gateway to judge. */
function accepts(accept: readonly string[], { name, type }: FileLike): boolean {
  const mime = (type.split(";")[0] ?? "").trim().toLowerCase();
  const family = `${mime.split("/")[0]}/*`;
  return accept.length === 0 || accept.map((item) => item.toLowerCase()).some((item) =>
    item.startsWith(".") ? name.toLowerCase().endsWith(item) : mime === "" || [mime, family, "*/*"].includes(item));
}

/** `2 min left`, `45 s left`, `time is up`; empty without a readable time. */
export function timeLeft(expiresAt: string, nowMs: number): string {
  const seconds = Math.ceil((Date.parse(expiresAt) - nowMs) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (seconds <= 0) return "time is up";
  if (seconds <= 90) return `${seconds} s left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min left` : `${Math.round(minutes / 60)} h left`;
}

const ENDS: Readonly<Record<string, string>> = { ok: "is done", error: "has failed", cancelled: "was stopped", interrupted: "was interrupted" };

/** `report is done` */
export const runEnd = (handler: string, status: string) => `${nameOfHandler(handler)} ${ENDS[status] ?? `has ended: ${status}`}`;

const HANDLERS: Readonly<Record<string, string>> = { on_message: "The answer", on_chat_start: "The start", on_chat_resume: "The resumption" };

/** A handler as people call it. */
export const nameOfHandler = (handler: string) => HANDLERS[handler] ?? handler.replace(/^action:/, "");

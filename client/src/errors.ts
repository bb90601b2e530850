/**
 * What went wrong, for programs: the codes of the gateway, and those of the client: `no_answer` (nothing
 * answered in time), `unreachable` (the network, or CORS, let nothing through), `no_token` (`getToken` failed), `aborted`, `bad_answer` (of no gateway).
 */
export type ErrorCode =
  | "session_not_found" | "run_not_found" | "run_not_failed" | "step_not_found" | "action_not_found" | "ask_not_found" | "ask_ended" | "feedback_disabled"
  | "settings_not_found" | "chat_profile_not_found" | "no_worker" | "run_not_over" | "request_not_kept"
  | "element_not_found" | "not_found" | "method_not_allowed" | "invalid_cursor" | "invalid_request" | "unauthenticated"
  | "forbidden" | "cross_site_request" | "untrusted_host" | "tokens_disabled" | "keys_unavailable" | "id_conflict"
  | "queue_full" | "session_full" | "limit_exceeded" | "message_too_large" | "body_too_large" | "range_not_satisfiable"
  | "unsupported_media_type" | "still_in_progress" | "idempotency_key_reused" | "bad_request" | "request_timeout"
  | "uri_too_long" | "headers_too_large" | "not_implemented" | "too_many_connections" | "shutting_down"
  | "version_not_supported" | "store_unavailable" | "not_running" | "store_refused" | "internal_error"
  | "gateway_unavailable" | "gateway_timeout"
  | "no_answer" | "unreachable" | "aborted" | "no_token" | "bad_answer"
  | (string & {});

/** The one error of this client. Its message says what happened, and where it can, what to do. */
export class StepwireError extends Error {
  override readonly name = "StepwireError";

  constructor(
    message: string,
    readonly code: ErrorCode,
    /** The status of the answer; 0 if there was none. */
    readonly status = 0,
    /** When the gateway says to try again. */
    readonly retryAfterS: number | null = null,
    /** The problem document (RFC 9457), with the fields that some codes have. */
    readonly problem: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  /** Whether the same request may succeed later (RFC 9110, 15.5.9; RFC 6585, 4). */
  get passes(): boolean {
    return this.status === 0 ? this.code !== "aborted" : this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

/** The error that an answer stands for, which need not come from a gateway: there may be a proxy in between. */
export async function problemOf(response: Response): Promise<StepwireError> {
  const problem = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const told = problem["detail"] ?? problem["title"] ?? (response.statusText || `status ${response.status}`);
  const code = typeof problem["code"] === "string" ? problem["code"] : "bad_answer";
  return new StepwireError(String(told), code, response.status, secondsOf(response.headers.get("retry-after")), problem);
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function secondsOf(retryAfter: string | null): number | null {
  const seconds = Number(retryAfter ?? NaN);
  const wait = Number.isNaN(seconds) ? (Date.parse(retryAfter ?? "") - Date.now()) / 1000 : seconds;
  return wait >= 0 ? wait : null;
}

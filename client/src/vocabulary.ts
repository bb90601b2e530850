// Made by scripts/types.mjs from the gateway's vocabulary.json and OpenAPI document: do not edit it.

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** One of the answers that an ask offers. */
export interface Action {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  readonly tooltip: string;
  readonly icon: string | null;
  readonly payload: Readonly<Record<string, JsonValue>>;
}

/** A person's answer to an ask, by the ask's kind: a message, an action, files, or what the element that asks has submitted. */
export interface Answer {
  readonly id: string;
  readonly message_id: string | null;
  readonly action_id: string | null;
  readonly elements: readonly string[];
  readonly submission: Submission | null;
}

/** A question to the person, shown with the step `step_id`; a handler waits for the answer. */
export interface Ask {
  readonly id: string;
  readonly session_id: string;
  readonly run_id: string | null;
  readonly attempt: number;
  readonly step_id: string;
  readonly kind: "text" | "action" | "file" | "element" | (string & {});
  readonly actions: readonly Action[];
  readonly accept: readonly string[];
  readonly max_files: number | null;
  readonly max_bytes: number | null;
  readonly element_id: string | null;
  readonly status: "open" | "answered" | "timeout" | "cancelled" | "interrupted" | (string & {});
  readonly answer: Answer | null;
  readonly expires_at: string;
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly ts: string;
}

/** Something that is shown with a step: an image, a file, a table. Its bytes are at `url`. */
export interface StepElement {
  readonly id: string;
  readonly session_id: string;
  readonly run_id: string | null;
  readonly step_id: string | null;
  readonly type: string;
  readonly name: string;
  readonly mime: string;
  readonly display: "inline" | "side" | "page" | (string & {});
  readonly size: number | null;
  readonly sha256: string | null;
  readonly url: string;
  readonly props: Readonly<Record<string, JsonValue>>;
  readonly ts: string;
}

/** What went wrong: the exception's class and text. */
export interface ErrorInfo {
  readonly type: string;
  readonly message: string;
  readonly traceback?: string | null | undefined;
}

/** The opinion of a person about a step. */
export interface Feedback {
  readonly step_id: string;
  readonly value: 0 | 1 | null;
  readonly comment: string | null;
  readonly ts: string;
}

/** How far a step is. */
export interface Progress {
  readonly done: number;
  readonly total: number | null;
  readonly text: string | null;
}

/** What is gone, by its id. */
export interface Removal {
  readonly id: string;
}

/** One execution of a handler. */
export interface Run {
  readonly run_id: string;
  readonly handler: string;
  readonly attempt: number;
  readonly message_id: string | null;
  readonly status: "running" | "ok" | "error" | "cancelled" | "interrupted" | (string & {});
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly error: ErrorInfo | null;
  readonly will_retry: boolean;
  readonly parent_run_id: string | null;
  readonly retry_of?: string | null | undefined;
  readonly usage?: UsageSum | null | undefined;
  readonly ts: string;
  readonly v: number;
}

/** Everything that a session shows, at one cursor. */
export interface Snapshot {
  readonly session_id: string;
  readonly cursor: string;
  readonly runs: readonly Run[];
  readonly steps: readonly Step[];
  readonly elements: readonly StepElement[];
  readonly asks: readonly Ask[];
  readonly feedback: readonly Feedback[];
  readonly actions: readonly StepAction[];
  readonly steps_before_runs: readonly number[];
  readonly usage: UsageSum;
  readonly v: number;
}

/** A button of the step `step_id`, for as long as it is there: each click is a run. */
export interface StepAction {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  readonly tooltip: string;
  readonly icon: string | null;
  readonly payload: Readonly<Record<string, JsonValue>>;
  readonly session_id: string;
  readonly run_id: string | null;
  readonly step_id: string;
  readonly ts: string;
}

/** A node in the tree of a session. */
export interface Step {
  readonly id: string;
  readonly session_id: string;
  readonly run_id: string | null;
  readonly attempt: number;
  readonly parent_id: string | null;
  readonly name: string;
  readonly type: string;
  readonly status: "running" | "ok" | "error" | "cancelled" | "interrupted" | (string & {});
  readonly input: string;
  readonly output: string;
  readonly language: string | null;
  readonly show_input: boolean | string;
  readonly disable_feedback: boolean;
  readonly default_open: boolean;
  readonly auto_collapse: boolean;
  readonly icon: string | null;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, JsonValue>>;
  readonly elements: readonly string[];
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly error: ErrorInfo | null;
  readonly from_attempt?: number | null | undefined;
  readonly usage?: StepUsage | null | undefined;
  readonly progress?: Progress | null | undefined;
  readonly ts: string;
}

/** A person's submission of an element that asks. */
export interface Submission {
  readonly submitted: boolean;
  readonly props: Readonly<Record<string, JsonValue>>;
}

/** A piece of text for a field of the step `id`: to be appended, or put in its place. */
export interface TextDelta {
  readonly id: string;
  readonly field: "output" | "input" | (string & {});
  readonly text: string;
  readonly replace?: boolean | undefined;
}

/** The usage of a call of a model; a field is None where the step does not say it. */
export interface StepUsage {
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly cost: number | null;
  readonly model: string | null;
}

/** What the steps of a run, or of a session, have used together. */
export interface UsageSum {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cost: number;
}

export interface NewMessage {
  /** The subject of the run; needs the right `admin`. By default the token's. */
  readonly subject?: string | null | undefined;
  /** From 0 to 9; needs the right `admin`. By default the token's. */
  readonly priority?: number | null | undefined;
  /** May be empty when there are elements. */
  readonly content?: string | undefined;
  /** Makes the request repeatable; by default a fresh one. */
  readonly id?: string | null | undefined;
  readonly author?: string | undefined;
  readonly metadata?: Readonly<Record<string, JsonValue>> | undefined;
  /** Ids of files that were uploaded before: the handler gets them. */
  readonly elements?: readonly string[] | undefined;
  /** Words by which `GET /v1/runs` finds the run. */
  readonly tags?: readonly string[] | undefined;
  /** The run, of the same session, that this repeats with other input. */
  readonly retry_of?: string | null | undefined;
}

export interface NewRun {
  /** The subject of the run; needs the right `admin`. By default the token's. */
  readonly subject?: string | null | undefined;
  /** From 0 to 9; needs the right `admin`. By default the token's. */
  readonly priority?: number | null | undefined;
  readonly task: string;
  readonly args?: Readonly<Record<string, JsonValue>> | undefined;
  /** The run's id; makes the request repeatable. */
  readonly id?: string | null | undefined;
  /** Not before then (RFC 3339); the past is now. */
  readonly defer_until?: string | null | undefined;
  /** Words by which `GET /v1/runs` finds the run. */
  readonly tags?: readonly string[] | undefined;
  /** The run, of the same session, that this repeats with other input. */
  readonly retry_of?: string | null | undefined;
}

/** By the kind of the ask: `content` (text), `action`, `files`, or `submission` (element). */
export interface NewAnswer {
  readonly content?: string | null | undefined;
  /** The id of one of its actions. */
  readonly action?: string | null | undefined;
  /** Ids of elements that were uploaded before. */
  readonly files?: readonly string[] | null | undefined;
  /** The submission of an element that asks. */
  readonly submission?: NewSubmission | null | undefined;
  /** Makes the request repeatable; of a text also the id of its message. */
  readonly id?: string | null | undefined;
  readonly author?: string | undefined;
  readonly metadata?: Readonly<Record<string, JsonValue>> | undefined;
}

export interface NewClick {
  /** The subject of the run; needs the right `admin`. By default the token's. */
  readonly subject?: string | null | undefined;
  /** From 0 to 9; needs the right `admin`. By default the token's. */
  readonly priority?: number | null | undefined;
  /** The run's id; makes the request repeatable. */
  readonly id?: string | null | undefined;
}

export interface NewFeedback {
  /** 1 good, 0 bad. */
  readonly value: 0 | 1;
  readonly comment?: string | null | undefined;
}

export interface AcceptedMessage {
  readonly run_id: string;
  readonly message_id: string;
}

export interface AcceptedRun {
  readonly run_id: string;
}

/** The request that started a run. */
export interface AskedFor {
  readonly run_id: string;
  readonly handler: string;
  /** Of a task, or of a click or a rating. null: it has none, or `hidden`. */
  readonly args: Readonly<Record<string, JsonValue>> | null;
  /** The arguments are shown to the subject that has sent them, and to callers with the right `admin`. */
  readonly hidden: boolean;
  /** The message that has started it. */
  readonly message_id: string | null;
}

export interface CreatedSession {
  readonly session_id: string;
}

export interface NewSession {
  /** Taken once; by default a fresh one. */
  readonly id?: string | null | undefined;
  /** The name of a profile of `GET /v1/start`; by default its default one. */
  readonly chat_profile?: string | null | undefined;
}

export interface NewSubmission {
  /** False: the person has cancelled. */
  readonly submitted?: boolean | undefined;
  /** What the element says. */
  readonly props?: Readonly<Record<string, JsonValue>> | undefined;
}

export interface NewSettings {
  /** By the ids of the inputs; those that are left out stay. */
  readonly values: Readonly<Record<string, JsonValue>>;
  /** The run's id; makes the request repeatable. */
  readonly id?: string | null | undefined;
}

export interface ChangedSettings {
  readonly run_id: string;
  /** Of all inputs of the form, as they are now. */
  readonly values: Readonly<Record<string, JsonValue>>;
}

/** A session, in a list of them. */
export interface SessionEntry {
  readonly id: string;
  readonly title?: string | null | undefined;
  readonly status?: "idle" | "running" | "ok" | "error" | "cancelled" | "interrupted" | (string & {}) | undefined;
  readonly created_at: string;
  readonly updated_at: string;
  readonly subject?: string | null | undefined;
}

export interface SessionPage {
  readonly sessions: readonly SessionEntry[];
  /** Send it back as `cursor` for the next page, also when this one is short; null: there is none. */
  readonly next: string | null;
  /** Sessions that the page would show and cannot: the server that has them is away. Others are not concerned, so this is empty unless the log is on a cluster. */
  readonly unavailable?: readonly string[] | undefined;
}

/** A run that waits, is executed, or has failed for good. */
export interface RunEntry {
  readonly run_id: string;
  readonly session_id: string;
  readonly handler: string;
  readonly status: "running" | "queued" | "held" | "deferred" | "error" | "interrupted" | (string & {});
  readonly subject?: string | null | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly priority?: number | null | undefined;
  readonly attempt?: number | null | undefined;
  readonly queued_at?: string | null | undefined;
  readonly due_at?: string | null | undefined;
  readonly started_at?: string | null | undefined;
  readonly ended_at?: string | null | undefined;
  readonly error?: ErrorInfo | null | undefined;
  readonly worker_id?: string | null | undefined;
  readonly host?: string | null | undefined;
  readonly pid?: number | null | undefined;
}

export interface RunEntries {
  readonly runs: readonly RunEntry[];
  /** Send it back as `cursor` for the next page, also when this one is short; null: there is none. */
  readonly next: string | null;
}

/** An attempt that a worker executes. */
export interface RunningRun {
  readonly session_id: string;
  readonly run_id: string;
  readonly handler: string;
  readonly attempt: number;
  readonly since: string;
}

/** A worker process, as it was when it last wrote this. */
export interface WorkerDocument {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly since: string;
  readonly version: string;
  readonly handlers: readonly string[];
  readonly hooks?: readonly string[] | undefined;
  readonly running: number;
  readonly max_jobs: number;
  readonly lease_s: number;
  readonly state: string;
  readonly runs?: readonly RunningRun[] | undefined;
  readonly max_running?: Readonly<Record<string, number>> | undefined;
  readonly left_behind?: number | undefined;
  readonly tasks?: string | null | undefined;
}

export interface Workers {
  readonly workers: readonly WorkerDocument[];
}

/** The runs of one handler. */
export interface HandlerCounts {
  readonly handler: string;
  readonly running?: number | undefined;
  /** Due ones: of the first 1,000, and those that its limit holds back. */
  readonly waiting?: number | undefined;
  /** The most that all workers together execute; null: no limit. */
  readonly max_running?: number | null | undefined;
}

/** What the queue holds. */
export interface QueueOverview {
  /** Runs that workers have taken. */
  readonly running: number;
  /** Runs that are due and wait for a slot. */
  readonly queued: number;
  /** Runs that a limit of their handler or subject holds back. */
  readonly held: number;
  /** Runs that wait for their time, their turn, or a retry. */
  readonly deferred: number;
  /** Runs that have failed for good, and can be retried. */
  readonly failed: number;
  /** How many workers there are of each state. */
  readonly workers: Readonly<Record<string, number>>;
  /** What the workers that take runs can execute at a time. */
  readonly slots: number;
  /** What all workers execute. */
  readonly slots_taken: number;
  /** Of the first 1,000 that are queued, how long the oldest waits; null: none. */
  readonly longest_wait_s: number | null;
  readonly handlers: readonly HandlerCounts[];
  /** Whether at most 1,000 are queued, so that all were looked at. */
  readonly is_complete: boolean;
}

/** A run that has been accepted, and of which no attempt is under way. */
export interface WaitingRun {
  readonly run_id: string;
  /** null while it is not known. */
  readonly handler?: string | null | undefined;
  readonly waiting_since: string;
  readonly waits_for?: "worker" | "turn" | "limit" | "time" | "slot" | "start" | (string & {}) | null | undefined;
  readonly ahead?: number | null | undefined;
  readonly due_at?: string | null | undefined;
}

export interface WaitingRuns {
  readonly waiting: readonly WaitingRun[];
}

/** A task that can be run. */
export interface TaskEntry {
  readonly name: string;
  /** From its docstring. */
  readonly description: string;
  /** A JSON Schema (2020-12) of `args`; null: no worker has described them. */
  readonly args_schema: Readonly<Record<string, JsonValue>> | null;
  /** How many of the workers that take runs have it. */
  readonly workers: number;
}

/** What can be asked of the workers that are there. */
export interface TaskList {
  /** By name. Where workers describe one differently, as while a new version replaces the old one, the worker that has begun last is right. */
  readonly tasks: readonly TaskEntry[];
  /** What runs when something happens in a session: `on_message`, `action:<name>`. */
  readonly handlers: readonly string[];
  /** How many workers take runs, without those that stop or have missed a renewal; with 0, a run waits until a worker is there. */
  readonly workers: number;
}

/** A question to begin with. */
export interface StarterDocument {
  readonly label: string;
  readonly message: string;
  readonly command: string | null;
  readonly icon: string | null;
}

/** Starters that belong together. */
export interface StarterCategoryDocument {
  readonly label: string;
  readonly icon: string | null;
  readonly starters: readonly StarterDocument[];
}

/** A kind of conversation, which the creator of a session chooses by its name. */
export interface ChatProfileDocument {
  readonly name: string;
  readonly markdown_description: string;
  readonly icon: string | null;
  readonly display_name: string | null;
  readonly default: boolean;
  readonly starters: readonly StarterDocument[] | null;
  readonly config_overrides: JsonValue;
}

/** The start page, which is shown before a session begins. */
export interface StartPage {
  readonly chat_profiles: readonly ChatProfileDocument[];
  readonly chat_profile: string | null;
  readonly starters: readonly StarterDocument[];
  readonly starter_categories: readonly StarterCategoryDocument[];
  readonly failed: readonly string[];
}

/** The data of each event that this version knows, by the event's type. */
export interface EventData {
  /** A run, or another attempt of it, begins. */
  "run.start": Run;
  /** The steps of a run have used more. */
  "run.update": Run;
  /** A step begins. */
  "step.start": Step;
  /** A piece of text streams into a step. */
  "step.delta": TextDelta;
  /** Something of a step has changed. */
  "step.update": Step;
  /** A step has its final status. */
  "step.end": Step;
  /** A step is gone with all below it. */
  "step.remove": Removal;
  /** An element is there, or has got its step. */
  "element.add": StepElement;
  /** An element is gone. */
  "element.remove": Removal;
  /** A handler waits for the person. */
  "ask": Ask;
  /** An ask has its final status. */
  "ask.end": Ask;
  /** A step is rated; with null, not any more. */
  "feedback": Feedback;
  /** A step has a button, or another in its place. */
  "action.add": StepAction;
  /** A button is gone. */
  "action.remove": Removal;
  /** An attempt of a run has ended. */
  "run.end": Run;
  /** Everything, at one cursor; it is never stored. */
  "snapshot": Snapshot;
}

/** The kinds of documents, in the order of a snapshot. */
export const KINDS = [
  {"name":"run","list":"runs","id":"run_id"},
  {"name":"step","list":"steps","id":"id","parent":"parent_id"},
  {"name":"element","list":"elements","id":"id","parent":"step_id"},
  {"name":"ask","list":"asks","id":"id","parent":"step_id"},
  {"name":"feedback","list":"feedback","id":"step_id","parent":"step_id","removing":"value"},
  {"name":"action","list":"actions","id":"id","parent":"step_id"},
] as const;

/** What each event does to the documents of its kind, which is the first word of its type. */
export const EVENTS = {
  "run.start": "put",
  "run.update": "put",
  "step.start": "put",
  "step.delta": "text",
  "step.update": "put",
  "step.end": "put",
  "step.remove": "remove",
  "element.add": "put",
  "element.remove": "remove",
  "ask": "put",
  "ask.end": "put",
  "feedback": "put",
  "action.add": "put",
  "action.remove": "remove",
  "run.end": "put",
  "snapshot": "replace",
} as const;

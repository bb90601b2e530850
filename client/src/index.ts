export type { Kind, Ref, StreamEvent } from "./documents.js";
export { StepwireError, type ErrorCode } from "./errors.js";
export { EMPTY, fold, replay } from "./fold.js";
export type { Schedule } from "./notifier.js";
export type { Row, RowOptions } from "./rows.js";
export { Store, type Connection, type Key, type Pending } from "./store.js";
export type { Usage } from "./usage.js";
export type * from "./vocabulary.js";

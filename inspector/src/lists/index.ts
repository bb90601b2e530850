export { Operations } from "./Operations";
export { RunStatus } from "./RunStatus";
export { SessionList } from "./SessionList";

export { Detail } from "./Detail";
export { Status } from "./Status";
export { Trace } from "./Trace";

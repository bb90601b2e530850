export { Detail } from "./Detail";
export { Context as HistoryContext, History } from "./history";
export { Scrubber } from "./Scrubber";
export { Status } from "./Status";
export { Trace } from "./Trace";

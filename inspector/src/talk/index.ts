export { Sidebar } from "./chat/Sidebar";
export { NewSession } from "./chat/Starters";
export { Feedback } from "./Feedback";
export { MessageActions } from "./MessageActions";
export { Question } from "./Question";
export { RunActions } from "./RunActions";
export { Talk } from "./Talk";

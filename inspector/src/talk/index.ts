export { Feedback } from "./Feedback";
export { MessageActions } from "./MessageActions";
export { Question } from "./Question";
export { RunActions } from "./RunActions";
export { Talk } from "./Talk";

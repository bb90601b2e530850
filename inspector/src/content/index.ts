export { Content } from "./Content";
export { Elements } from "./Elements";
export { Progress } from "./Progress";
export { Usage } from "./Usage";

export { Content } from "./Content";
export { CopyButton } from "./text/CopyButton";
export { ElementPanel } from "./elements/ElementPanel";
export { Elements } from "./elements/Elements";
export { Progress } from "./Progress";
export { Usage } from "./Usage";

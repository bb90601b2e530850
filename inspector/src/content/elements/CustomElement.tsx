import type { StepElement } from "stepwire";
import type { Json } from "../text/json";
import { JsonTree } from "../text/JsonTree";

/** What another front end draws: here, its facts. */
export function CustomElement({ element }: { readonly element: StepElement }) {
  return <JsonTree value={(element.props ?? {}) as unknown as Json} />;
}

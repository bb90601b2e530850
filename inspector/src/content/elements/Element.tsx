import type { StepElement } from "stepwire";

/** An element in the form of its type. */
export function Element({ element: { type, props } }: { readonly element: StepElement }) {
  return type === "custom" ? <pre>{JSON.stringify(props, null, 2)}</pre> : null;
}

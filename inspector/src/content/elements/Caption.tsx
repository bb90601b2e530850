import type { StepElement } from "stepwire";
import { useElementUrl } from "stepwire/react";

/** The name of an element, and a way to have it. */
export function Caption({ element }: { readonly element: StepElement }) {
  return element.size === null ? <figcaption>{element.name}</figcaption> : <Download element={element} />;
}

function Download({ element }: { readonly element: StepElement }) {
  const url = useElementUrl(element);
  return <figcaption>{url === null ? element.name : <a href={url} download={element.name}>{element.name}</a>}</figcaption>;
}

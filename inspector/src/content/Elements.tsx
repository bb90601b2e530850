import { useElements } from "stepwire/react";

/** What a step shows beside its text; null: what was uploaded and not sent. */
export function Elements({ stepId }: { readonly stepId: string | null }) {
  const elements = useElements(stepId);
  return elements.length === 0 ? null : <ul className="content-elements">{elements.map(({ id, name }) => <li key={id}>{name}</li>)}</ul>;
}

/** What the person thinks of a step. */
export function Feedback({ stepId }: { readonly stepId: string }) {
  return <span hidden>{stepId}</span>;
}

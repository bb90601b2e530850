/** The asks of a step, open and ended, with what answers them. */
export function Question({ stepId }: { readonly stepId: string }) {
  return <span hidden>{stepId}</span>;
}

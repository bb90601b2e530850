/** The buttons of a message. */
export function MessageActions({ stepId }: { readonly stepId: string }) {
  return <span hidden>{stepId}</span>;
}

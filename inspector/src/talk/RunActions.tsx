/** What can be done with a run: stop it, try it again, replay it. */
export function RunActions({ runId }: { readonly runId: string }) {
  return <span hidden>{runId}</span>;
}

import { usageOf } from "stepwire";
import { useStore } from "stepwire/react";

/** What models have used in a step and below it; null: in the session. */
export function Usage({ stepId }: { readonly stepId: string | null }) {
  const { tokens } = useStore(stepId === null ? "rows" : `step:${stepId}`, (store) => usageOf(store, stepId));
  return tokens === 0 ? null : <span className="content-usage">{tokens} tokens</span>;
}

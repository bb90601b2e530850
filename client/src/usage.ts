import type { Store } from "./store.js";
import { NOTHING, type Usage } from "./used.js";

/**
 * What a step and those below it, or without one the whole session, have used: their `usage`, else what their `metadata` tell, with the names of OpenAI,
 * Anthropic, LangChain or OpenTelemetry. Where a step and steps below it tell in their metadata, those below count: the one above sums them.
 *
 * A run has its own sum, `run.usage`, over all attempts and with the steps that were removed. The sums are kept while
 * events come: asking for one costs the same however large the session is.
 */
export function usageOf(store: Store, stepId: string | null = null): Usage {
  if (stepId !== null) return store.tree.of(stepId)?.used ?? NOTHING;
  return store.derive("usage", () => {
    // Runs count what was removed, too.
    const { input_tokens, output_tokens, cost } = store.used;
    const { used } = store.tree.top;
    return { tokens: input_tokens + output_tokens || used.tokens, cost: cost || used.cost };
  });
}

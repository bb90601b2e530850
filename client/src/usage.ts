import type { Store } from "./store.js";
import type { Place } from "./tree.js";
import type { Step } from "./vocabulary.js";

/** What models have used, as far as steps tell. */
export interface Usage {
  readonly tokens: number;
  readonly cost: number;
}

/**
 * What a step and those below it, or without one the whole session, have used: their `usage`, else what their `metadata` tell, with the names of OpenAI,
 * Anthropic, LangChain or OpenTelemetry. Where a step and steps below it tell in their metadata, those below count: the one above sums them.
 *
 * A run has its own sum, `run.usage`, over all attempts and with the steps that were removed.
 */
export function usageOf(store: Store, stepId: string | null = null): Usage {
  return store.derive(`usage:${stepId}`, () => sumOf(store, stepId));
}

function sumOf(store: Store, stepId: string | null): Usage {
  const sum = { tokens: 0, cost: 0 };
  const top = store.tree.of(stepId);
  const sums = new Map<Place | null, { tokens: number; cost: number }>();
  for (const place of store.tree.within(stepId).reverse()) {
    const { ref, doc, above } = place;
    const step = ref.kind === "step" ? (doc as Step) : undefined;
    const below = sums.get(place) ?? { tokens: 0, cost: 0 };
    const into = place === top || !above ? sum : (sums.get(above) ?? { tokens: 0, cost: 0 });
    if (into !== sum) sums.set(above, into);
    if (step?.usage) {
      // The usage of a step is its own; its metadata may tell the sum of the steps below it.
      const { input_tokens, output_tokens, cost } = step.usage;
      into.tokens += below.tokens + (input_tokens ?? 0) + (output_tokens ?? 0);
      into.cost += below.cost + (cost ?? 0);
    } else {
      const own = told(step?.metadata ?? {});
      into.tokens += below.tokens || own.tokens;
      into.cost += below.cost || own.cost;
    }
  }
  if (stepId !== null) return sum;
  // Runs count what was removed, too.
  const { input_tokens, output_tokens, cost } = store.snapshot().usage;
  return { tokens: input_tokens + output_tokens || sum.tokens, cost: cost || sum.cost };
}

function told(metadata: Step["metadata"]): Usage {
  const usage = (metadata["usage"] ?? {}) as Record<string, unknown>;
  const number = (...values: unknown[]) => (values.find((value) => typeof value === "number") as number | undefined) ?? 0;
  return {
    tokens:
      number(usage["total_tokens"]) ||
      number(usage["input_tokens"], usage["prompt_tokens"]) + number(usage["output_tokens"], usage["completion_tokens"]),
    cost: number(metadata["cost"], usage["cost"]),
  };
}

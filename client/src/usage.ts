import type { Store } from "./store.js";
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
  const { tree } = store;
  const places = tree.within(stepId);
  const offset = tree.places.indexOf(places[0]!);
  const below = places.map(() => ({ tokens: 0, cost: 0 }));
  const sum = { tokens: 0, cost: 0 };
  for (let at = places.length - 1; at >= 0; at -= 1) {
    const { ref, doc, above } = places[at]!;
    const step = ref.kind === "step" ? (doc as Step) : undefined;
    const into = below[above - offset] ?? sum;
    if (step?.usage) {
      // The usage of a step is its own; its metadata may tell the sum of the steps below it.
      const { input_tokens, output_tokens, cost } = step.usage;
      into.tokens += below[at]!.tokens + (input_tokens ?? 0) + (output_tokens ?? 0);
      into.cost += below[at]!.cost + (cost ?? 0);
    } else {
      const own = told(step?.metadata ?? {});
      into.tokens += below[at]!.tokens || own.tokens;
      into.cost += below[at]!.cost || own.cost;
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

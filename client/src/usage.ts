import type { Store } from "./store.js";
import type { Step } from "./vocabulary.js";

/** What models have used, as far as steps tell. */
export interface Usage {
  readonly tokens: number;
  readonly cost: number;
}

/**
 * What a step and those below it, or without one the whole session, tell in their `metadata`: `usage` with the names of OpenAI, Anthropic, LangChain or
 * OpenTelemetry, and `cost`. Where a step and steps below it tell, those below count: the one above sums them.
 */
export function usageOf(store: Store, stepId: string | null = null): Usage {
  return store.derive(`usage:${stepId}`, () => sumOf(store, stepId));
}

function sumOf({ tree }: Store, stepId: string | null): Usage {
  const places = tree.within(stepId);
  const offset = tree.places.indexOf(places[0]!);
  const below = places.map(() => ({ tokens: 0, cost: 0 }));
  const sum = { tokens: 0, cost: 0 };
  for (let at = places.length - 1; at >= 0; at -= 1) {
    const { ref, doc, above } = places[at]!;
    const own = ref.kind === "step" ? told((doc as Step).metadata) : { tokens: 0, cost: 0 };
    const into = below[above - offset] ?? sum;
    into.tokens += below[at]!.tokens || own.tokens;
    into.cost += below[at]!.cost || own.cost;
  }
  return sum;
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

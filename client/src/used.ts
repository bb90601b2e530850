import type { Run, Step } from "./vocabulary.js";

/** What models have used, as far as steps tell. */
export interface Usage {
  readonly tokens: number;
  readonly cost: number;
}

export const NOTHING: Usage = { tokens: 0, cost: 0 };

/** What a run or step counts for, with what those below it do. */
export function counted(doc: Run | Step, below: Usage): Usage {
  const { usage, metadata } = doc as Partial<Step>;
  // The usage of a step is its own; its metadata may tell the sum of the steps below it. A run's sum has what was removed, too.
  if (usage && "type" in doc) return moved(below, NOTHING, { tokens: (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0), cost: usage.cost ?? 0 });
  if (!metadata || (below.tokens && below.cost)) return below;
  const own = told(metadata);
  return own.tokens || own.cost ? { tokens: below.tokens || own.tokens, cost: below.cost || own.cost } : below;
}

/** A sum in which one part is another. */
export function moved(sum: Usage, before: Usage, after: Usage): Usage {
  if (before === after) return sum;
  return { tokens: sum.tokens - before.tokens + after.tokens, cost: rounded(sum.cost - before.cost + after.cost) };
}

/** Without what adding and taking away leaves at the end of a fraction. */
export const rounded = (sum: number) => +sum.toFixed(10);

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

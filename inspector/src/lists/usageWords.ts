import type { Run } from "stepwire";

/** What a run has used, in a few words; empty for nothing. */
export function usageWords(usage: Run["usage"] | undefined): string {
  if (!usage) return "";
  const tokens = usage.input_tokens + usage.output_tokens;
  const words = tokens > 0 ? [`${tokens.toLocaleString()} tokens`] : [];
  if (usage.cost) words.push(`cost ${usage.cost.toLocaleString(undefined, { maximumSignificantDigits: 3 })}`);
  return words.join(" · ");
}

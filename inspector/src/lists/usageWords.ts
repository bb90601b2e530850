import type { Run } from "stepwire";
import { cost, tokens } from "../app/words";

/** What a run has used, in a few words; empty for nothing. */
export function usageWords(usage: Run["usage"] | undefined): string {
  if (!usage) return "";
  const all = usage.input_tokens + usage.output_tokens;
  return [all > 0 && tokens(all), usage.cost > 0 && cost(usage.cost)].filter(Boolean).join(" · ");
}

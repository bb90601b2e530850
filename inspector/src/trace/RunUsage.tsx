import type { Run } from "stepwire";

/** What all attempts of a run have used, with the steps that were removed. */
export function RunUsage({ usage }: { readonly usage: Run["usage"] }) {
  if (!usage) return null;
  const { input_tokens, output_tokens, cost } = usage;
  const parts = [
    input_tokens > 0 && `${input_tokens.toLocaleString()} in`,
    output_tokens > 0 && `${output_tokens.toLocaleString()} out`,
    cost > 0 && `cost ${cost.toLocaleString(undefined, { maximumSignificantDigits: 3 })}`,
  ].filter(Boolean);
  return parts.length === 0 ? null : <span className="chip usage"><span className="visually-hidden">used </span>{parts.join(" · ")}</span>;
}

import { usageOf, type Step, type Store } from "stepwire";
import { useNowAndThen, useSession } from "../app/session";
import { cost, tokens, usage } from "../app/words";
import { isCount } from "./numbers";
import "./content.css";

/** What models have used in a step and below it; null: in the session. */
export function Usage({ stepId }: { readonly stepId: string | null }) {
  const sum = useNowAndThen("rows", (store) => usageOf(store, stepId));
  const { store } = useSession();
  const parts = [
    isCount(sum.tokens) && sum.tokens > 0 && tokens(sum.tokens),
    isCount(sum.cost) && sum.cost > 0 && cost(sum.cost),
  ].filter((part) => part !== false);
  if (parts.length === 0) return null;
  const own = ownOf(store, stepId);
  const words = parts.join(" · ");
  const isSum = own !== null && (own.tokens !== sum.tokens || own.cost !== sum.cost);
  const details = [
    own?.model,
    own && own.words && (isSum ? `itself: ${own.words}` : own.words),
    isSum && own.tokens + own.cost === 0 && "of the steps below it",
  ].filter(Boolean).join(" · ");
  return (
    <span className="content-usage" title={details || undefined}>
      <span className="visually-hidden">{isSum ? "used with the steps below: " : "used: "}</span>
      {isSum && <span aria-hidden="true">Σ </span>}{words}
      {details && <span className="visually-hidden"> ({details})</span>}
    </span>
  );
}

interface Own {
  readonly tokens: number;
  readonly cost: number;
  readonly model: string;
  readonly words: string;
}

/** What a step has used itself; null for the session. */
function ownOf(store: Store, stepId: string | null): Own | null {
  if (stepId === null) return null;
  const { input_tokens, output_tokens, cost, model } = (store.step(stepId)?.usage ?? {}) as Partial<NonNullable<Step["usage"]>>;
  const [read, written, paid] = [input_tokens, output_tokens, cost].map((value) => (isCount(value) ? value : 0)) as [number, number, number];
  return { tokens: read + written, cost: paid, model: typeof model === "string" ? model : "", words: usage({ input_tokens: read, output_tokens: written, cost: paid }) };
}

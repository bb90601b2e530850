import type { Progress as Document } from "stepwire";
import { isCount, progressWords } from "./numbers";
import "./content.css";

/** How far a step is, as a bar that is read out too. Where it is not known how much there is, it says only that something is done. */
export function Progress({ progress }: { readonly progress: Document }) {
  const { done, total, text } = progress as { done?: unknown; total?: unknown; text?: unknown };
  if (!isCount(done)) return null;
  const all = isCount(total) ? total : null;
  const words = [progressWords(done, all), typeof text === "string" ? text : ""].filter(Boolean).join(" · ");
  // More may be done than there is, and there may be nothing to do.
  const bar = all ? { value: Math.min(done, all), max: all } : all === 0 ? { value: 1, max: 1 } : {};
  return (
    <div className="content-progress">
      <progress {...bar} aria-label="Progress" aria-valuetext={words} />
      <span dir="auto">{words}</span>
    </div>
  );
}

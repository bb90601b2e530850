import type { Progress as Document } from "stepwire";

/** How far a step is. */
export function Progress({ progress: { done, total, text } }: { readonly progress: Document }) {
  return <progress value={done} max={total ?? undefined} aria-label={text ?? "progress"} />;
}

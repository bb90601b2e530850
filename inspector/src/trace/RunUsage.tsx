import type { Run } from "stepwire";
import { usage } from "../app/words";

/** What all attempts of a run have used, with the steps that were removed. */
export function RunUsage({ usage: used }: { readonly usage: Run["usage"] }) {
  const words = used ? usage(used) : "";
  return words && <span className="chip usage"><span className="visually-hidden">used </span>{words}</span>;
}

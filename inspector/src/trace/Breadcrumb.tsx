import type { Row, Store } from "stepwire";
import { useSession } from "../app/session";

const MOST = 4;

/** What stands above the topmost row of the window: a way back in a deep tree. */
export function Breadcrumb({ item, onGo }: { readonly item: Row; readonly onGo: (key: string) => void }) {
  const { store } = useSession();
  const { depth } = item;
  const above = aboveOf(store, item);
  return (
    <nav className="crumbs" aria-label="Above these">
      {depth > MOST && <span className="crumbs-more">{depth - MOST} more ›</span>}
      {above.map((id) => (
        <button key={id} type="button" className="crumb" onClick={() => onGo(id)}>{store.step(id)?.name || "unnamed"}</button>
      ))}
      <span className="crumbs-level">level {depth}</span>
    </nav>
  );
}

/** The nearest steps above a row, from the top. */
function aboveOf(store: Store, { kind, id, depth }: Row): readonly string[] {
  const above: string[] = [];
  // The line of an attempt stands beside the first step of it, wherever that is.
  let next = kind === "run" ? store.run(id)?.message_id : kind === "step" ? store.step(id)?.parent_id : store.run(id)?.message_id;
  while (next && above.length < Math.min(MOST, depth)) {
    above.unshift(next);
    next = store.step(next)?.parent_id;
  }
  return above;
}

import { useMemo } from "react";
import { useSession } from "../app/session";
import type { Item } from "./items";
import { aboveOf } from "./moving";

const MOST = 4;

/** What stands above the topmost row of the window: a way back in a deep tree. */
export function Breadcrumb({ item, list, at, onGo }: { readonly item: Item; readonly list: readonly Item[]; readonly at: number; readonly onGo: (key: string) => void }) {
  const { store } = useSession();
  const above = useMemo(() => {
    const items: Item[] = [];
    for (let next = aboveOf(list, at), before = at; next !== before; before = next, next = aboveOf(list, next)) items.unshift(list[next]!);
    return items;
  }, [list, at]);
  const shown = above.length > MOST ? above.slice(-MOST) : above;
  const name = ({ kind, id }: Item) => (kind === "run" ? store.run(id)?.handler : store.step(id)?.name) || "unnamed";
  return (
    <nav className="crumbs" aria-label="Above these">
      {shown.length < above.length && <span className="crumbs-more">{above.length - shown.length} more ›</span>}
      {shown.map((one) => (
        <button key={one.key} type="button" className="crumb" onClick={() => onGo(one.key)}>{name(one)}</button>
      ))}
      <span className="crumbs-level">level {item.depth}</span>
    </nav>
  );
}

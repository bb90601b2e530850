import { useStep } from "stepwire/react";
import { go } from "../app/address";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";

/** Everything about one step. */
export function Detail({ id }: { readonly id: string }) {
  const session = useSession();
  const step = useStep(id);
  return (
    <aside className="detail" aria-label="Details">
      <button type="button" className="button quiet icon-only" aria-label="Close" onClick={() => go({ session: session.id })}><Icon name="close" /></button>
      <h2>{step?.name}</h2>
    </aside>
  );
}

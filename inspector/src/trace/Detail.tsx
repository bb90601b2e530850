import { useEffect, useRef } from "react";
import { go } from "../app/address";
import { Fault } from "../app/Fault";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";
import { RunDetail } from "./RunDetail";
import { StepDetail } from "./StepDetail";

/** Everything about one step, or about a run: `run:` and its id. */
export function Detail({ id }: { readonly id: string }) {
  const session = useSession();
  const pane = useRef<HTMLElement>(null);
  // The trace gives the focus back to the row.
  const close = () => go({ session: session.id });
  useEffect(() => {
    pane.current?.scrollTo(0, 0);
  }, [id]);
  return (
    <aside ref={pane} className="detail" aria-label="Details" onKeyDown={(event) => event.key === "Escape" && close()}>
      <button type="button" className="button quiet icon-only detail-close" aria-label="Close details" onClick={close}><Icon name="close" /></button>
      <Fault what="this" of={id}>{id.startsWith("run:") ? <RunDetail id={id.slice(4)} /> : <StepDetail id={id} />}</Fault>
    </aside>
  );
}

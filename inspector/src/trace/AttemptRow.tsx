import type { Row } from "stepwire";
import { useRun } from "stepwire/react";
import { useTrace } from "./context";
import { Indent } from "./Indent";

/** Where the steps of another attempt of a run begin. */
export function AttemptRow({ item: { id, depth, attempt } }: { readonly item: Row }) {
  const run = useRun(id);
  const { select } = useTrace();
  return (
    <div className="attempt" data-attempt={attempt}>
      <Indent depth={depth} />
      <button type="button" className="attempt-name" tabIndex={-1} onClick={() => select(`run:${id}`)}>
        Attempt {attempt}{run && attempt < run.attempt ? " · tried again" : ""}
      </button>
    </div>
  );
}

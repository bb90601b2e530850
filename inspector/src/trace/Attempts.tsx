import { attemptsOf, type Step } from "stepwire";
import { useStore } from "stepwire/react";
import { follow, hrefOf } from "../app/address";
import { useSession } from "../app/session";
import { duration } from "../app/words";
import { StatusMark } from "./StepRow";

/** The attempts of a run beside each other: what each step of one was in the others. */
export function Attempts({ runId }: { readonly runId: string }) {
  const session = useSession();
  const table = useStore("rows", (store) => {
    const attempts = attemptsOf(store, runId);
    const names: string[] = [];
    const cells = attempts.map(({ roots }) => {
      const steps = new Map<string, Step>();
      for (const id of roots) {
        const step = store.step(id)!;
        // The second step of a name is compared with the second one of the other attempt.
        let name = step.name || "unnamed";
        for (let n = 2; steps.has(name); n += 1) name = `${step.name || "unnamed"} (${n})`;
        steps.set(name, step);
        if (!names.includes(name)) names.push(name);
      }
      return steps;
    });
    return { attempts, names, rows: names.map((name) => cells.map((steps) => steps.get(name) ?? null)) };
  });
  return (
    <section className="detail-text" aria-label="Attempts">
      <h3>Attempts</h3>
      <div className="attempts">
        <table>
          <thead><tr><th scope="col">Step</th>{table.attempts.map(({ attempt }) => <th scope="col" key={attempt}>{attempt}</th>)}</tr></thead>
          <tbody>
            {table.rows.map((row, at) => (
              <tr key={table.names[at]}>
                <th scope="row">{table.names[at]}</th>
                {row.map((step, column) => <td key={column}>{step && <Cell step={step} session={session.id} />}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Cell({ step, session }: { readonly step: Step; readonly session: string }) {
  const place = { session, step: step.id };
  const took = step.ended_at === null ? "" : duration(Date.parse(step.ended_at) - Date.parse(step.started_at));
  return (
    <a href={hrefOf(place)} onClick={(event) => follow(event, place)} title={step.error ? `${step.error.type}: ${step.error.message}` : undefined}>
      <StatusMark status={step.status} />{step.from_attempt == null ? took : `from ${step.from_attempt}`}
    </a>
  );
}

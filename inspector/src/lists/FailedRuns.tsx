import { useState } from "react";
import type { RunEntry, RunQuery } from "stepwire/lists";
import { announce } from "../app/announce";
import { lists } from "../app/gateway";
import { Icon } from "../design/Icon";
import { Confirm } from "./Confirm";
import { Session, Since } from "./parts";
import { FAILED } from "./useOperations";

const AT_A_TIME = 5;
const PAGE = 200;

interface Work {
  readonly words: string;
  readonly done: number;
  readonly problems: readonly string[];
}

/** Runs that have failed for good: each with its error, to be done again or forgotten. */
export function FailedRuns({ runs, hasMore, query, onChange }: {
  readonly runs: readonly RunEntry[];
  readonly hasMore: boolean;
  readonly query: Pick<RunQuery, "handler" | "subject" | "tag">;
  readonly onChange: () => void;
}) {
  const [asked, setAsked] = useState<"retry" | "forget" | null>(null);
  const [work, setWork] = useState<Work | null>(null);
  const [busy, setBusy] = useState(false);
  const isFiltered = Object.values(query).some(Boolean);

  const all = async (what: "retry" | "forget") => {
    setBusy(true);
    const ids = new Set<string>();
    const problems: string[] = [];
    let cursor: string | null | undefined;
    let done = 0;
    const words = what === "retry" ? "retried" : "forgotten";
    try {
      // All ids first: the list moves while its runs leave it.
      do {
        const page = await lists.runs({ ...query, status: FAILED, limit: PAGE }, { cursor });
        page.runs.forEach(({ run_id }) => ids.add(run_id));
        cursor = page.next;
      } while (cursor);
      const left = [...ids];
      await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
        for (let id = left.shift(); id !== undefined; id = left.shift()) {
          try {
            await lists[what](id);
            done += 1;
          } catch (error) {
            problems.push(`${id}: ${(error as Error).message}`);
          }
          setWork({ words, done, problems: [...problems] });
        }
      }));
    } catch (error) {
      problems.push((error as Error).message);
    }
    setWork({ words, done, problems });
    announce(`${done} ${words}${problems.length > 0 ? `, ${problems.length} not` : ""}`);
    setBusy(false);
    onChange();
  };
  const one = async (what: "retry" | "forget", run: RunEntry) => {
    const words = what === "retry" ? "retried" : "forgotten";
    try {
      await lists[what](run.run_id);
      announce(`${run.handler} is ${words}`);
      setWork({ words, done: 1, problems: [] });
    } catch (error) {
      setWork({ words, done: 0, problems: [(error as Error).message] });
    }
    onChange();
  };

  return (
    <section aria-labelledby="ops-failed">
      <div className="lists-row">
        <h3 id="ops-failed">Failed for good</h3>
        {runs.length > 0 && (
          <>
            <button type="button" className="button quiet" disabled={busy} onClick={() => setAsked("retry")}><Icon name="again" />Retry all{isFiltered ? " that fit" : ""}</button>
            <button type="button" className="button quiet" disabled={busy} onClick={() => setAsked("forget")}>Forget all{isFiltered ? " that fit" : ""}</button>
          </>
        )}
      </div>
      {work && <p className="hint" role="status">{work.done} {work.words}.</p>}
      {work && work.problems.length > 0 && <ul className="problem" role="alert">{work.problems.slice(0, 5).map((text) => <li key={text}>{text}</li>)}{work.problems.length > 5 && <li>and {work.problems.length - 5} more</li>}</ul>}
      {runs.length === 0 ? <p className="hint">{isFiltered ? "None fits." : "None: all runs have ended well, or were retried."}</p> : (
        <ul className="ops-failed">
          {runs.map((run) => <Failed key={run.run_id} run={run} busy={busy} onDo={(what) => void one(what, run)} />)}
        </ul>
      )}
      {hasMore && <p className="hint">These are the {runs.length} newest.</p>}
      {asked && (
        <Confirm title={asked === "retry" ? "Retry all failed runs?" : "Forget all failed runs?"} verb={asked === "retry" ? "Retry all" : "Forget all"} no="Cancel"
          onYes={() => void all(asked)} onClose={() => setAsked(null)}>
          {asked === "retry" ? "Each is done again, as a new run of its session." : "They cannot be retried any more. Their sessions keep what they show of them."}
        </Confirm>
      )}
    </section>
  );
}

function Failed({ run, busy, onDo }: { readonly run: RunEntry; readonly busy: boolean; readonly onDo: (what: "retry" | "forget") => void }) {
  const { error } = run;
  return (
    <li className="ops-failure" data-status={run.status}>
      <div className="lists-row">
        <Icon name={run.status === "interrupted" ? "interrupted" : "error"} />
        <Session id={run.session_id} words={run.handler} />
        <span className="hint">{run.ended_at && <><Since at={run.ended_at} /> ago · </>}{run.attempt} {run.attempt === 1 ? "attempt" : "attempts"}{run.subject && <> · <bdi>{run.subject}</bdi></>}</span>
        {(run.tags ?? []).map((word) => <span key={word} className="chip">{word}</span>)}
        <span className="ops-actions">
          <button type="button" className="button quiet" disabled={busy} aria-label={`Retry ${run.handler}`} onClick={() => onDo("retry")}><Icon name="again" />Retry</button>
          <button type="button" className="button quiet" disabled={busy} aria-label={`Forget ${run.handler}`} onClick={() => onDo("forget")}>Forget</button>
        </span>
      </div>
      {error && (error.traceback ? (
        <details><summary><strong>{error.type}</strong> {error.message}</summary><pre tabIndex={0} dir="ltr">{error.traceback}</pre></details>
      ) : <p className="ops-error"><strong>{error.type}</strong> {error.message}</p>)}
    </li>
  );
}

import { useCallback, useEffect, useRef, useState } from "react";
import type { StepwireError } from "stepwire";
import type { QueueOverview, RunEntry, RunQuery, WorkerDocument } from "stepwire/lists";
import { lists } from "../app/gateway";
import { useVisible } from "./useSessions";

const EVERY_MS = 3000;
const SHOWN = 100;

export interface Installation {
  readonly queue: QueueOverview;
  readonly workers: readonly WorkerDocument[];
  readonly runs: readonly RunEntry[];
  readonly hasMoreRuns: boolean;
  readonly failed: readonly RunEntry[];
  readonly hasMoreFailed: boolean;
  readonly atMs: number;
}

export const FAILED = ["error", "interrupted"] as const;

/** How the installation is, looked at every few seconds while the page is seen. */
export function useOperations(query: Pick<RunQuery, "handler" | "subject" | "tag">) {
  const key = JSON.stringify(query);
  const [found, setFound] = useState<Installation | null>(null);
  const [error, setError] = useState<StepwireError | null>(null);
  const isVisible = useVisible();
  const again = useRef<() => void>(() => {});
  useEffect(() => {
    if (!isVisible) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    const wanted = JSON.parse(key) as RunQuery;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      clearTimeout(timer);
      let goesOn = true;
      try {
        const [queue, workers, runs, failed] = await Promise.all([
          lists.queue(signal), lists.workers(signal),
          lists.runs({ ...wanted, limit: SHOWN }, { signal }), lists.runs({ ...wanted, status: FAILED, limit: SHOWN }, { signal }),
        ]);
        if (signal.aborted) return;
        setFound({ queue, workers, runs: runs.runs, hasMoreRuns: runs.next !== null, failed: failed.runs, hasMoreFailed: failed.next !== null, atMs: Date.now() });
        setError(null);
      } catch (caught) {
        if (signal.aborted) return;
        setError(caught as StepwireError);
        goesOn = (caught as StepwireError).passes;
      }
      // After the answer, not by the clock: a slow gateway is not asked faster than it answers.
      if (goesOn) timer = setTimeout(() => void look(), EVERY_MS);
    };
    again.current = () => void look();
    void look();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [key, isVisible]);
  return { found, error, lookAgain: useCallback(() => again.current(), []) };
}

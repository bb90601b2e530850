import { useEffect, useState } from "react";
import { Icon } from "../design/Icon";
import type { Session } from "stepwire";
import type { History } from "./history";

interface Props {
  readonly read: () => Promise<History>;
  readonly onPast: (past: Session) => void;
  readonly onClose: () => void;
}

/** A slider over all events of a session. */
export function Scrubber({ read, onPast, onClose }: Props) {
  const [history, setHistory] = useState<History | null>(null);
  const [problem, setProblem] = useState("");
  const [at, setAt] = useState(0);
  const go = (next: number, within = history) => {
    if (!within) return;
    const kept = Math.min(within.events.length, Math.max(1, next));
    setAt(kept);
    onPast(within.after(kept));
  };
  useEffect(() => {
    let isHere = true;
    read().then(
      (done) => {
        if (!isHere) return;
        setHistory(done);
        go(done.events.length, done);
      },
      (error: Error) => setProblem(error.message),
    );
    return () => {
      isHere = false;
    };
  }, [read]);
  const event = history?.events[at - 1];
  return (
    <section className="scrubber" aria-label="History">
      {problem && <p className="problem" role="alert">{problem}</p>}
      {!history && !problem && <p className="hint">Reading all events…</p>}
      {history && event && (
        <>
          <button type="button" className="button quiet icon-only" aria-label="Event before" onClick={() => go(at - 1)}><Icon name="up" /></button>
          <input type="range" min="1" max={history.events.length} value={at} aria-label="Event" aria-valuetext={`${at} of ${history.events.length}: ${event.type}`}
            onChange={({ target }) => go(Number(target.value))} />
          <button type="button" className="button quiet icon-only" aria-label="Event after" onClick={() => go(at + 1)}><Icon name="down" /></button>
          <details className="scrubber-event">
            <summary><span>{at.toLocaleString()} of {history.events.length.toLocaleString()}</span> <code>{event.id}</code> <strong>{event.type}</strong></summary>
            <pre dir="ltr" tabIndex={0}>{JSON.stringify(event.data, null, 2)}</pre>
          </details>
        </>
      )}
      <button type="button" className="button" onClick={onClose}>Back to now</button>
    </section>
  );
}

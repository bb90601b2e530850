import { useState } from "react";
import type { StreamEvent } from "stepwire";
import { useHistory } from "./history";

const PAGE = 100;

/** The events that have made a step or run what it is, as they were on the stream. They are read when that is opened. */
export function RawEvents({ id }: { readonly id: string }) {
  const history = useHistory();
  const [events, setEvents] = useState<readonly StreamEvent[] | null>(null);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState(PAGE);
  const read = () => history.read().then((all) => setEvents(all.of(id)), (error: Error) => setProblem(error.message));
  return (
    <details className="events" onToggle={({ currentTarget }) => currentTarget.open && events === null && void read()}>
      <summary>Events</summary>
      {problem && <p className="problem" role="alert">{problem}</p>}
      {events?.length === 0 && <p className="hint">The gateway does not have them any more.</p>}
      <ol>
        {events?.slice(0, shown).map((event) => (
          <li key={event.id}>
            <details><summary><code>{event.id}</code> {event.type}</summary><pre dir="ltr" tabIndex={0}>{JSON.stringify(event.data, null, 2)}</pre></details>
          </li>
        ))}
      </ol>
      {events && events.length > shown && <button type="button" className="button quiet" onClick={() => setShown(shown + PAGE)}>More</button>}
    </details>
  );
}

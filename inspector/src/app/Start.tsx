import { useState } from "react";
import { follow, go, hrefOf } from "./address";
import { client } from "./gateway";
import { recentSessions } from "./recent";

/** The page before a session is chosen. */
export function Start() {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const recent = recentSessions();
  const create = async () => {
    setBusy(true);
    setProblem("");
    try {
      go({ session: (await client.create()).id });
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="start">
      <div className="start-card">
        <h2>Watch your agent work</h2>
        <p>Every step of a session, live and nested: prompts, tools, tokens, errors.</p>
        <button type="button" className="button primary" disabled={busy} onClick={() => void create()}>New session</button>
        {problem && <p className="problem" role="alert">{problem}</p>}
        <form className="start-open" onSubmit={(event) => {
          event.preventDefault();
          const id = String(new FormData(event.currentTarget).get("id")).trim();
          if (id) go({ session: id });
        }}>
          <label htmlFor="session-id">Open a session by its id</label>
          <div className="start-row">
            <input id="session-id" name="id" className="field" autoComplete="off" autoCapitalize="off" spellCheck={false} required />
            <button type="submit" className="button">Open</button>
          </div>
        </form>
        {recent.length > 0 && (
          <section aria-label="Recent sessions">
            <h3>Recent</h3>
            <ul>{recent.map((id) => <li key={id}><a href={hrefOf({ session: id })} onClick={(event) => follow(event, { session: id })}>{id}</a></li>)}</ul>
          </section>
        )}
      </div>
    </main>
  );
}

import { NewSession } from "../talk";
import { follow, go, hrefOf } from "./address";
import { recentSessions } from "./recent";

/** The page before a session is chosen. */
export function Start() {
  const recent = recentSessions();
  return (
    <main className="start">
      <div className="start-card">
        <h2>Watch your agent work</h2>
        <p>Every step of a session, live and nested: prompts, tools, tokens, errors.</p>
        <NewSession onOpen={(session) => go({ session })} />
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

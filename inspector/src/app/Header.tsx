import { Icon } from "../design/Icon";
import { follow, hrefOf, useAddress } from "./address";
import { ROOT } from "./root";
import { may } from "./session";
import { useTheme } from "./theme";

/** What stands above everything. `onSessions` shows or hides the list of sessions, where it is not beside the rest. */
export function Header({ onSessions, isListOpen }: { readonly onSessions: () => void; readonly isListOpen: boolean }) {
  const { session, view } = useAddress();
  const [theme, nextTheme] = useTheme();
  return (
    <header className="top">
      <button type="button" className="button quiet icon-only top-sessions" aria-label="Sessions" aria-expanded={isListOpen} aria-controls="sessions" onClick={onSessions}>
        <Icon name="sessions" />
      </button>
      <a className="top-brand" href={ROOT} aria-label="stepwire: another session" onClick={(event) => follow(event, {})}>
        <img src={`${ROOT}inspector/icon.svg`} alt="" width="22" height="22" /><span>stepwire</span>
      </a>
      <h1 className="top-name" title={session ?? undefined}>{session ?? (view === "operations" ? "Operations" : "")}</h1>
      <div className="top-actions" id="session-actions" />
      {may("admin") && (
        <a className="button quiet" href={hrefOf({ view: "operations" })} aria-current={view === "operations" ? "page" : undefined}
          onClick={(event) => follow(event, { view: "operations" })}>Operations</a>
      )}
      <button type="button" className="button quiet icon-only" aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`} onClick={nextTheme}><Icon name="sun" /></button>
    </header>
  );
}

import { useEffect, useId, useState } from "react";
import { useConnection } from "stepwire/react";
import { useSession } from "../app/session";
import { currentToken } from "../app/token";
import { replaceToken, tokenIsRefused, useTokenIsRefused } from "./token";
import "./talk.css";

/**
 * The token has ended, or was never given: the page stays as it is, with all that is shown and written, and goes on
 * with another one.
 */
export function TokenPrompt() {
  const session = useSession();
  const { state, error } = useConnection();
  const isRefused = useTokenIsRefused();
  const [text, setText] = useState("");
  const id = useId();
  const isClosed = state === "closed" && error?.code === "unauthenticated";
  useEffect(() => {
    if (isClosed) tokenIsRefused();
  }, [isClosed, error]);
  if (!isRefused) return null;
  const hasToken = currentToken() !== null;
  return (
    <form className="banner talk-token" aria-label="Another token" onSubmit={(event) => {
      event.preventDefault();
      // A whole address is what people are given.
      const token = (/[#?&]token=([^&\s]+)/.exec(text)?.[1] ?? text).trim();
      if (!token) return;
      replaceToken(token);
      setText("");
      session.close();
      session.open();
    }}>
      <p id={id} role="alert">{hasToken ? "Your token has ended or is not valid. Nothing is lost: paste another one, or the link that you were given." : "Paste a token, or the link that you were given."}</p>
      <span className="talk-token-row">
        <input aria-labelledby={id} className="field" type="password" autoComplete="off" value={text} onChange={({ target }) => setText(target.value)} />
        <button type="submit" className="button primary">Go on</button>
      </span>
    </form>
  );
}

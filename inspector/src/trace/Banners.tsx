import { useState } from "react";
import { useConnection, useStore } from "stepwire/react";
import { follow, hrefOf } from "../app/address";
import { client } from "../app/gateway";
import { useSession } from "../app/session";
import { currentToken } from "../app/token";
import { count } from "../app/words";

/** Sessions that were deleted with this page. */
export const deletedHere = new Set<string>();

/** Why the session is closed, and that events were missing. */
export function Banners() {
  const { state, error } = useConnection();
  const gaps = useStore("connection", (store) => store.gaps());
  return (
    <>
      {state === "closed" && error && <Closed />}
      {gaps > 0 && (
        <div className="banner" role="alert" id="gap-warning">
          Events were missing in the stream, {count(gaps, "time")}. What is shown has been read anew each time, and is complete.
        </div>
      )}
    </>
  );
}

function Closed() {
  const { error } = useConnection();
  const session = useSession();
  const wasThere = useStore("rows", ({ cursor }) => cursor !== null);
  const [problem, setProblem] = useState("");
  if (!error) return null;
  const isUnknown = error.code === "session_not_found";
  const needsToken = error.status === 401;
  const title = needsToken ? (currentToken() === null ? "This session needs a token." : "Your token has ended or is not valid.")
    : isUnknown && deletedHere.has(session.id) ? "You have deleted this session."
    : isUnknown && wasThere ? "This session is gone."
    : String(error.problem["title"] ?? "This session cannot be shown.");
  const detail = needsToken ? (wasThere ? "Below is what the session showed last." : "")
    : !isUnknown ? error.message
    : wasThere ? "It was deleted or has expired. Below is its last known state."
    : "It was never created, has expired, or was deleted.";
  const create = async () => {
    try {
      await client.create(session.id);
      session.close();
      session.open();
    } catch (refused) {
      setProblem((refused as Error).message);
    }
  };
  return (
    <div className="banner bad" role="alert" id="closed">
      <strong>{title}</strong> {detail && <span>{detail}</span>}
      {needsToken && <span>Paste one below, or open this page with “#token=…” at the end of its address.</span>}
      {error.status > 0 && <code>{error.status} {error.code}</code>}
      {isUnknown && !deletedHere.has(session.id) && <button type="button" className="button" onClick={() => void create()}>Create it</button>}
      <a href={hrefOf({})} onClick={(event) => follow(event, {})}>Open another session</a>
      {problem && <p className="problem">{problem}</p>}
    </div>
  );
}

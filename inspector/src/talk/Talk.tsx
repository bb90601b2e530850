import { useConnection } from "stepwire/react";
import { may, useSession } from "../app/session";
import { Settings } from "./chat/Settings";
import { Starters } from "./chat/Starters";
import { Composer } from "./Composer";
import { Notices } from "./Notices";
import { TokenPrompt } from "./TokenPrompt";
import { useTokenIsRefused } from "./token";

/** What stands below the trace: the box, or why there is none; and a way on when the token has ended. */
export function Talk() {
  const { state, error } = useConnection();
  const { store } = useSession();
  const isRefused = useTokenIsRefused();
  // With another token the same box goes on: what is in it stays.
  const isOver = state === "closed" && error?.code !== "unauthenticated" && !isRefused;
  return (
    <div className="talk-below">
      <Notices />
      <TokenPrompt />
      {!isOver && may("write") && <><Settings /><Starters /></>}
      {isOver ? <p className="talk-over hint">{error?.code === "session_not_found" ? store.cursor === null ? "There is no such session: it takes no messages." : "This session is gone: it takes no messages." : "This session takes no messages any more."}</p>
        : may("write") ? <Composer />
        : <p className="talk-over hint">You can read this session, and not write in it.</p>}
    </div>
  );
}

import { useEffect, useState } from "react";
import type { ChatProfileDocument, StarterDocument, StartPage } from "stepwire";
import { useConnection, useStore } from "stepwire/react";
import { choices, client } from "../../app/gateway";
import { useSession } from "../../app/session";
import { useSending } from "../kept";
import { Problem } from "../Question";
import { useOffer } from "../useOffer";
import { textOf, useOwnElement } from "./own";

/** What the application offers; null while that is not known. Without an answer there are no profiles and no starters. */
function useStart(profile: string | undefined, isWanted: boolean): StartPage | null {
  const [page, setPage] = useState<StartPage | null>(null);
  // Only a worker knows.
  const isKnown = (useOffer()?.workers ?? 0) > 0;
  useEffect(() => {
    if (!isWanted || !isKnown) return;
    const leaving = new AbortController();
    choices.startPage({ chatProfile: profile }, leaving.signal).then(setPage, () => {});
    return () => leaving.abort();
  }, [profile, isWanted, isKnown]);
  return page;
}

/** Questions to begin with, until the person has said something. */
export function Starters() {
  const session = useSession();
  const { state } = useConnection();
  const isEmpty = useStore("rows", (store) => store.children(null).every(({ id }) => store.step(id)?.type !== "user_message"));
  const profile = useOwnElement("chat_profile");
  const name = textOf(profile?.props["name"]);
  const page = useStart(name || undefined, isEmpty && state === "live");
  const sending = useSending("starter");
  if (!isEmpty || !page) return null;
  const groups = [{ label: "", starters: page.starters }, ...page.starter_categories].filter(({ starters }) => starters.length > 0);
  if (groups.length === 0 && !profile) return null;
  const choose = ({ message, command }: StarterDocument) =>
    sending.send([message, command], (id) => session.send(message, { id, ...(command !== null && { metadata: { command } }) }).catch((error) => {
      session.store.discard(id);
      throw error;
    }));
  return (
    <section className="talk-starters" aria-label="To begin with">
      {profile && <p className="hint">Profile: <bdi>{textOf(profile.props["display_name"]) || name}</bdi></p>}
      {groups.map(({ label, starters }, at) => (
        <div key={at} className="talk-choices" role="group" aria-label={label || "Starters"}>
          {label && <span className="hint">{label}</span>}
          {starters.map((starter, index) => (
            <button key={index} type="button" className="button" title={starter.message} aria-disabled={sending.busy || undefined} onClick={() => void choose(starter)}><bdi>{starter.label}</bdi></button>
          ))}
        </div>
      ))}
      <Problem>{sending.problem && `Not sent. ${sending.problem}`}</Problem>
    </section>
  );
}

/** Makes a new session, of the chat profile that the person chooses where the application offers some. */
export function NewSession({ onOpen }: { readonly onOpen: (id: string) => void }) {
  const page = useStart(undefined, true);
  const [chosen, choose] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const profiles = page?.chat_profiles ?? [];
  const name = chosen ?? page?.chat_profile ?? undefined;
  const create = async () => {
    if (busy) return;
    setBusy(true);
    setProblem("");
    try {
      onOpen(profiles.length > 0 && name ? await choices.createSession(name) : (await client.create()).id);
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="talk-new" onSubmit={(event) => {
      event.preventDefault();
      void create();
    }}>
      {profiles.length > 0 && <Profiles profiles={profiles} chosen={name ?? ""} onChoose={choose} />}
      <button type="submit" className="button primary" aria-disabled={busy || undefined}>New session</button>
      <Problem>{problem}</Problem>
    </form>
  );
}

function Profiles({ profiles, chosen, onChoose }: { readonly profiles: readonly ChatProfileDocument[]; readonly chosen: string; readonly onChoose: (name: string) => void }) {
  return (
    <fieldset className="talk-group">
      <legend>Profile</legend>
      {profiles.map(({ name, display_name, markdown_description }) => (
        <label key={name} className="talk-profile">
          <input type="radio" name="profile" value={name} checked={name === chosen} onChange={() => onChoose(name)} />
          <span><strong dir="auto">{display_name || name}</strong> <span className="hint" dir="auto">{plain(markdown_description)}</span></span>
        </label>
      ))}
    </fieldset>
  );
}

/** A line of Markdown without its marks: a list of choices is no place for headings and pictures. */
const plain = (text: string) => text.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[*_`#>]+/g, "").trim();

import type { StepElement } from "stepwire";
import { useCurrentSession } from "stepwire/react";
import { useRef, useState } from "react";
import { problemOf } from "../bytes";
import { MisfitNote } from "../MisfitNote";
import { nameOf } from "../names";

/** What has begun by itself once does not do so again when it comes into view another time. */
const begun = new Set<string>();

/** A sound or a film in place. It comes in pieces, as it is played. */
export function Recording({ element }: { readonly element: StepElement }) {
  const session = useCurrentSession();
  const [attempt, setAttempt] = useState(0);
  const [misfit, setMisfit] = useState<{ reason: string; again: boolean } | null>(null);
  const at = useRef(0);
  const { auto_play, player_config } = (element.props ?? {}) as { auto_play?: unknown; player_config?: { loop?: unknown; muted?: unknown } };
  const failed = async () => {
    const problem = await problemOf(session, element);
    if (!problem && attempt === 0) return setAttempt(1);
    setMisfit(problem?.state === "misfit" ? problem : { reason: `It is not ${element.type === "audio" ? "a sound" : "a film"} that this browser can play.`, again: false });
  };
  if (misfit) return <MisfitNote reason={misfit.reason} again={misfit.again ? () => { setMisfit(null); setAttempt(0); } : undefined} />;
  const starts = auto_play === true && !begun.has(element.id);
  const shared = {
    src: session.elementUrl(element),
    controls: true,
    preload: "metadata" as const,
    "aria-label": nameOf(element),
    autoPlay: starts,
    loop: player_config?.loop === true,
    muted: player_config?.muted === true,
    onPlay: () => void begun.add(element.id),
    onTimeUpdate: (event: React.SyntheticEvent<HTMLMediaElement>) => (at.current = event.currentTarget.currentTime),
    // After another address it goes on where it was.
    onLoadedMetadata: (event: React.SyntheticEvent<HTMLMediaElement>) => (event.currentTarget.currentTime = at.current),
    onError: () => void failed(),
  };
  if (element.type === "audio") return <audio key={attempt} className="element-recording" {...shared} />;
  return <video key={attempt} className="element-recording" playsInline {...shared} />;
}

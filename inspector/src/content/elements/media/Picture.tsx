import type { StepElement } from "stepwire";
import { useCurrentSession } from "stepwire/react";
import { useState } from "react";
import { problemOf } from "../bytes";
import { MisfitNote } from "../MisfitNote";
import { nameOf } from "../names";

const SIZES = new Set(["small", "medium", "large"]);

/** A picture in place. The browser fetches it by an address with the present token, and keeps it. */
export function Picture({ element }: { readonly element: StepElement }) {
  const session = useCurrentSession();
  const [attempt, setAttempt] = useState(0);
  const [misfit, setMisfit] = useState<{ reason: string; again: boolean } | null>(null);
  const failed = async () => {
    const problem = await problemOf(session, element);
    // It comes now: the token of the first address had ended, unless this is the second.
    if (!problem && attempt === 0) return setAttempt(1);
    setMisfit(problem?.state === "misfit" ? problem : { reason: "It is not a picture that this browser can show.", again: false });
  };
  const again = () => {
    setMisfit(null);
    setAttempt(0);
  };
  if (misfit) return <MisfitNote reason={misfit.reason} again={misfit.again ? again : undefined} />;
  const size = String((element.props as { size?: unknown } | undefined)?.size ?? "");
  return (
    <img
      key={attempt}
      className={`element-picture ${SIZES.has(size) ? size : "medium"}`}
      src={session.elementUrl(element)}
      alt={nameOf(element)}
      loading="lazy"
      decoding="async"
      onError={() => void failed()}
    />
  );
}

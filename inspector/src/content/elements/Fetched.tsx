import type { StepElement } from "stepwire";
import { useState, type ReactNode } from "react";
import { bytes } from "../../app/words";
import { useBytes } from "./bytes";
import { MisfitNote } from "./MisfitNote";
import { useSeen } from "./seen";

interface Props<T> {
  readonly element: StepElement;
  /** What the bytes are; it throws a `Misfit` if they are something else. A function that stays the same. */
  readonly read: (blob: Blob) => Promise<T> | T;
  readonly children: (value: T) => ReactNode;
  /** Larger ones are fetched when they are asked for. */
  readonly most?: number;
}

const MOST_BYTES = 4_000_000;

/** An element that this page shows itself: fetched when it comes into view. */
export function Fetched<T>({ element, read, children, most = MOST_BYTES }: Props<T>) {
  const [place, seen] = useSeen<HTMLDivElement>();
  const [asked, setAsked] = useState(false);
  const isLarge = (element.size ?? 0) > most;
  const [loaded, again] = useBytes(element, seen && (asked || !isLarge), read);
  if (isLarge && !asked) {
    return (
      <div ref={place}>
        <button type="button" className="button" onClick={() => setAsked(true)}>Show {bytes(element.size!)}</button>
      </div>
    );
  }
  return (
    <div ref={place} aria-busy={loaded.state === "loading"}>
      {loaded.state === "loading" && <p className="hint">Loading …</p>}
      {loaded.state === "misfit" && <MisfitNote reason={loaded.reason} again={loaded.again ? again : undefined} />}
      {loaded.state === "there" && children(loaded.value)}
    </div>
  );
}

import { StepwireError, type Session, type StepElement } from "stepwire";
import { useCurrentSession } from "stepwire/react";
import { useCallback, useEffect, useState } from "react";
import { Misfit } from "./misfit";

/** What has become of the bytes of an element. */
export type Loaded<T> =
  | { readonly state: "loading" }
  | { readonly state: "there"; readonly value: T }
  | { readonly state: "misfit"; readonly reason: string; readonly again: boolean };

/** An element whose bytes the gateway has; any other address is its author's, and nothing is asked there. */
export function isOurs({ size, sha256, url }: StepElement): boolean {
  return size !== null && sha256 !== null && typeof url === "string" && url.startsWith("/");
}

/** What `read` makes of an element's bytes, and a function that tries again. Nothing is fetched before it is `wanted`. */
export function useBytes<T>(element: StepElement, wanted: boolean, read: (blob: Blob) => Promise<T> | T): [Loaded<T>, () => void] {
  const session = useCurrentSession();
  const [loaded, setLoaded] = useState<Loaded<T>>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  const { url, sha256 } = element;
  useEffect(() => {
    if (!wanted) return;
    const leaving = new AbortController();
    const set = (next: Loaded<T>) => {
      if (!leaving.signal.aborted) setLoaded(next);
    };
    session.elementBlob({ url }, leaving.signal).then(read).then(
      (value) => set({ state: "there", value }),
      (error: unknown) => set(misfitOf(error)),
    );
    return () => leaving.abort();
    // `read` is a function of the module that uses it.
  }, [session, url, sha256, wanted, attempt]);
  const again = useCallback(() => {
    setLoaded({ state: "loading" });
    setAttempt((before) => before + 1);
  }, []);
  return [loaded, again];
}

/** Why the bytes of an element do not come, for one that a browser has opened by itself; null: they do come. */
export async function problemOf(session: Session, element: StepElement): Promise<Loaded<never> | null> {
  const asking = new AbortController();
  try {
    await session.elementBlob(element, asking.signal);
    return null;
  } catch (error) {
    return misfitOf(error);
  }
}

function misfitOf(error: unknown): Loaded<never> {
  const misfit = (reason: string, again: boolean) => ({ state: "misfit", reason, again }) as const;
  if (error instanceof Misfit) return misfit(error.message, false);
  if (!(error instanceof StepwireError)) return misfit(`It cannot be read: ${String(error)}`, false);
  if (error.code === "element_not_found") return misfit("It is gone: it was removed, or it has no bytes here.", false);
  if (error.code === "session_not_found") return misfit("It is gone with its session.", false);
  if (error.status === 404) return misfit("It is gone.", false);
  if (error.status === 403) return misfit("Your token does not open it.", false);
  if (error.status === 401) return misfit("Your token has ended: open this page with another one.", true);
  if (error.passes) return misfit(`It did not come: ${error.message}.`, true);
  return misfit(`It did not come: ${error.message}`, true);
}

import { useEffect, useRef } from "react";
import { announce } from "../app/announce";
import { useSession } from "../app/session";
import { Icon } from "../design/Icon";
import { around, following } from "./find";
import { Place, Steps } from "./Steps";

interface Props {
  readonly words: string;
  readonly onWords: (words: string) => void;
  /** The steps that are found, in their order, and which of them is shown. */
  readonly matches: readonly string[];
  readonly hit: string | null;
  readonly onHit: (key: string) => void;
  /** The reader is done with finding; `hit` gets the focus. Whether it has. */
  readonly onLeave: () => boolean;
}

/**
 * Finds words in all steps, also in those that are not in the page, of which a browser's search knows nothing. Ctrl-F
 * leads here; from here, it leads to the browser's.
 */
export function Find({ words, onWords, matches, hit, onHit, onLeave }: Props) {
  const { store } = useSession();
  const field = useRef<HTMLInputElement>(null);
  const cameFrom = useRef<Element | null>(null);
  useEffect(() => {
    const come = (event: KeyboardEvent) => {
      const isAsked = event.key.toLowerCase() === "f" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
      if (!isAsked || event.defaultPrevented || document.activeElement === field.current || document.querySelector("dialog:modal")) return;
      event.preventDefault();
      cameFrom.current = document.activeElement;
      field.current!.focus();
      field.current!.select();
    };
    addEventListener("keydown", come);
    return () => removeEventListener("keydown", come);
  }, []);
  const goTo = (key: string) => {
    onHit(key);
    const step = store.step(key);
    // The count is said by itself.
    if (step) announce(`${step.name || "unnamed"}: ${around(step, words.trim())}`);
  };
  const leave = () => {
    if (!onLeave() && cameFrom.current instanceof HTMLElement) cameFrom.current.focus();
    cameFrom.current = null;
  };
  return (
    <search className="tools-find">
      <Icon name="search" />
      <input ref={field} type="search" className="field" aria-label="Find in the session" aria-keyshortcuts="Control+F Meta+F" placeholder="Find, also in what is folded"
        title="Ctrl-F, and once more for the browser's own search; Enter and Shift-Enter go through what is found"
        value={words} onChange={({ target }) => onWords(target.value)}
        onKeyDown={(event) => {
          if (event.nativeEvent.isComposing) return;
          if (event.key === "Enter") {
            const next = following(matches, hit, event.shiftKey ? -1 : 1);
            if (next !== null) goTo(next);
          }
          if (event.key === "Escape") {
            event.preventDefault();
            leave();
          }
        }} />
      {words.trim() !== "" && (
        <>
          <Place list={matches} current={hit} none="nothing found" />
          <Steps list={matches} current={hit} what="match" onGo={goTo} />
        </>
      )}
    </search>
  );
}

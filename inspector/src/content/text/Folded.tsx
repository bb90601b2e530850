import { createContext, useContext, useId, useLayoutEffect, useRef, useState, type ReactNode } from "react";

interface Props {
  readonly lines: number;
  /** Fewer lines are not worth a fold. */
  readonly from: number;
  /** What grows before the reader's eyes is not folded under them. */
  readonly growing?: boolean;
  readonly children: ReactNode;
}

/** What stands here, so that what the reader has unfolded is so when it comes into view again; empty: not known. */
export const Place = createContext("");
const choices = new Map<string, boolean>();

/**
 * Long content, of which the beginning is shown until the reader wants all of it. What is folded is still there:
 * a search of the browser, a link to a text, or the keyboard that comes to it opens it.
 */
export function Folded({ lines, from, growing = false, children }: Props) {
  const id = useId();
  const place = useContext(Place);
  const box = useRef<HTMLDivElement>(null);
  const foundAt = useRef(0);
  const [choice, setChoice] = useState<boolean | null>(() => choices.get(place) ?? (growing ? true : null));
  const isLong = lines > from;
  const open = choice ?? !isLong;
  const choose = (open: boolean) => {
    if (place) choices.set(place, open);
    setChoice(open);
  };
  // A browser scrolls a box to what it has found, or focused, in its clipped part.
  const found = () => {
    if (!box.current?.scrollTop) return;
    foundAt.current = box.current.scrollTop;
    choose(true);
  };
  useLayoutEffect(() => {
    if (!open || !foundAt.current || !box.current) return;
    box.current.scrollTop = 0;
    scrolledAround(box.current).scrollBy({ top: foundAt.current, behavior: "instant" });
    foundAt.current = 0;
  }, [open]);
  return (
    <>
      <div ref={box} id={id} className={open ? undefined : "content-folded"} onScroll={open ? undefined : found}>
        {children}
      </div>
      {isLong && (
        <button type="button" className="button quiet fold" aria-expanded={open} aria-controls={id} onClick={() => choose(!open)}>
          {open ? "Show less" : `Show all ${lines.toLocaleString()} lines`}
        </button>
      )}
    </>
  );
}

function scrolledAround(element: Element): Element {
  for (let around = element.parentElement; around; around = around.parentElement) {
    if (around.scrollHeight > around.clientHeight && /auto|scroll/.test(getComputedStyle(around).overflowY)) return around;
  }
  return document.scrollingElement ?? document.documentElement;
}

import { useEffect } from "react";
import { wordsIn } from "./find";

/** So many are marked at a time: more are not seen at once. */
const MOST = 2000;
const MOST_FRAMES = 30;
const WHERE = ".rows-shown, .detail";

/**
 * Marks words wherever the page shows them, and brings the first ones of one step into view. The marks are ranges
 * (CSS Custom Highlight API), so that no component that shows a text has to make them.
 */
export function useHighlights(words: string, hit: { readonly key: string } | null): void {
  useEffect(() => {
    if (!words || !globalThis.Highlight) return;
    const [all, ofHit] = [new Highlight(), new Highlight()];
    CSS.highlights.set("found", all);
    CSS.highlights.set("found-now", ofHit);
    let frame = 0;
    let frames = hit === null ? MOST_FRAMES : 0;
    const look = () => {
      frame = 0;
      all.clear();
      ofHit.clear();
      for (const root of document.querySelectorAll(WHERE)) {
        for (const range of rangesIn(root, words, MOST - all.size)) {
          const around = elementOf(range)?.closest<HTMLElement>("[data-key], .detail");
          const isOfHit = hit !== null && (around?.dataset["key"] ?? hit.key) === hit.key;
          (isOfHit ? ofHit : all).add(range);
        }
      }
      // Folds open, and rows are measured, over the next frames.
      if (frames === MOST_FRAMES) return;
      const [first] = ofHit as unknown as Iterable<Range>;
      frames = first && isSeen(first) ? MOST_FRAMES : frames + 1;
      if (first && frames < MOST_FRAMES) bring(first);
      if (frames < MOST_FRAMES) soon();
    };
    const soon = () => {
      frame ||= requestAnimationFrame(look);
    };
    soon();
    const observer = new MutationObserver(soon);
    observer.observe(document.querySelector(".workspace")!, { childList: true, characterData: true, subtree: true });
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame);
      CSS.highlights.delete("found");
      CSS.highlights.delete("found-now");
    };
  }, [words, hit]);
}

function rangesIn(root: Element, words: string, most: number): Range[] {
  const ranges: Range[] = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text && ranges.length < most; text = texts.nextNode()) {
    for (const [from, to] of wordsIn(text.nodeValue!, words)) {
      if (elementOf(text)?.closest(".visually-hidden, button")) continue;
      const range = new Range();
      range.setStart(text, from);
      range.setEnd(text, to);
      ranges.push(range);
    }
  }
  return ranges;
}

/** Of a long text, what is found may be out of view, or folded. */
function isSeen(range: Range): boolean {
  const { top, bottom } = range.getBoundingClientRect();
  return boxesOf(range).every((box) => {
    const seen = box.getBoundingClientRect();
    return top >= seen.top && bottom <= seen.bottom;
  });
}

/** A fold opens when it is scrolled. */
function bring(range: Range): void {
  for (const box of boxesOf(range)) {
    const [found, seen] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
    box.scrollBy({ top: (found.top + found.bottom - seen.top - seen.bottom) / 2, behavior: "instant" });
  }
}

/** The boxes in which it may be out of view, from within. */
function boxesOf(range: Range): Element[] {
  const element = elementOf(range)!;
  return [element.closest(".content-folded"), element.closest(".rows, .detail")].filter((box) => box !== null);
}

function elementOf(at: Range | Node): Element | null {
  const node = at instanceof Range ? at.startContainer : at;
  return node instanceof Element ? node : node.parentElement;
}

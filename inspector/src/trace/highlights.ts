import { useEffect } from "react";
import { wordsIn } from "./find";

/** So many are marked at a time: more are not seen at once. */
const MOST = 2000;
const MOST_FRAMES = 30;
const WHERE = ".rows-shown, .detail";

/**
 * Marks words wherever the page shows them, and brings the first ones of one step into view. The marks are beside the
 * elements (CSS Custom Highlight API), so that whatever shows a text knows nothing of them.
 */
export function useHighlights(words: string, hit: { readonly key: string } | null): void {
  useEffect(() => {
    if (!words || !globalThis.Highlight) return;
    const [all, ofHit] = [new Highlight(), new Highlight()];
    CSS.highlights.set("found", all);
    CSS.highlights.set("found-now", ofHit);
    let frame = 0;
    let frames = 0;
    let isShown = hit === null;
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
      const [first] = ofHit as unknown as Iterable<Range>;
      if (!isShown && first) bring(first);
      isShown ||= first !== undefined;
      // What is opened for it comes with one of the next frames.
      if (!isShown && (frames += 1) < MOST_FRAMES) soon();
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

/** Of a long text, what is found may be out of view, or folded: a fold opens when it is scrolled to something. */
function bring(range: Range): void {
  const element = elementOf(range)!;
  const seen = element.closest(".rows, .detail")!.getBoundingClientRect();
  const { top, bottom } = range.getBoundingClientRect();
  if (element.closest(".content-folded") || top < seen.top || bottom > seen.bottom) element.scrollIntoView({ block: "center", inline: "nearest" });
}

function elementOf(at: Range | Node): Element | null {
  const node = at instanceof Range ? at.startContainer : at;
  return node instanceof Element ? node : node.parentElement;
}

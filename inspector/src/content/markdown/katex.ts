/** A chunk of its own: most sessions have no formula. */
import "katex/dist/katex.css";
import katex from "katex";

/** Formulas are written by anybody: none may load, link, or cover what stands beside it. */
export function renderFormula(tex: string, display: boolean, into: HTMLElement): void {
  katex.render(tex, into, {
    displayMode: display,
    throwOnError: true,
    trust: false,
    strict: "ignore",
    maxSize: 20,
    maxExpand: 300,
  });
}

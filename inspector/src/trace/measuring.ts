import { useLayoutEffect, useMemo, type RefObject } from "react";
import type { Row } from "stepwire";
import type { ListWindow } from "./list-window";

/** Measures rows of which the height is not known beforehand, as long as they are in the page. */
export interface Measuring {
  /** Until the result is called. */
  readonly watch: (row: HTMLElement | null) => (() => void) | undefined;
  /** It is one line. */
  readonly isLine: (key: string) => void;
  /** It was one, and is opened before the reader's eyes. */
  readonly wasLine: (key: string) => void;
}

/** Of the rows in a scrolled box, and of the box itself. */
export function useMeasuring(rows: ListWindow<Row>, box: RefObject<HTMLElement | null>): Measuring {
  const observer = useMemo(() => new RowObserver(rows), [rows]);
  useLayoutEffect(() => {
    const { current } = box;
    const look = () => rows.resized(current!.clientHeight);
    const seen = new ResizeObserver(look);
    look();
    seen.observe(current!);
    return () => seen.disconnect();
  }, [rows, box]);
  return observer;
}

class RowObserver implements Measuring {
  readonly #rows: ListWindow<Row>;
  readonly #observer: ResizeObserver;
  /** Rows that came while others were measured: a browser that is to measure them in the same frame complains of a loop. */
  #late: Set<HTMLElement> | null = null;

  constructor(rows: ListWindow<Row>) {
    this.#rows = rows;
    this.#observer = new ResizeObserver((entries) => {
      if (!this.#late) {
        this.#late = new Set();
        requestAnimationFrame(() => {
          for (const row of this.#late!) this.#observer.observe(row, { box: "border-box" });
          this.#late = null;
        });
      }
      // One that is taken out of the page has no height.
      const there = entries.filter(({ target }) => target.isConnected);
      rows.measure(there.map(({ target, borderBoxSize }) => [keyOf(target), borderBoxSize[0]!.blockSize]));
    });
  }

  readonly watch = (row: HTMLElement | null) => {
    if (!row) return undefined;
    if (this.#late) {
      this.#late.add(row);
      this.#rows.measure([[keyOf(row), row.getBoundingClientRect().height]]);
    } else this.#observer.observe(row, { box: "border-box" });
    return () => {
      this.#late?.delete(row);
      this.#observer.unobserve(row);
    };
  };

  readonly isLine = (key: string) => this.#rows.unmeasure(key);
  readonly wasLine = (key: string) => this.#rows.remeasure(key);
}

const keyOf = (row: Element) => (row as HTMLElement).dataset["key"]!;

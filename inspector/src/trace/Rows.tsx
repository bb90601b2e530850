import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore, type KeyboardEvent, type Ref } from "react";
import { useSession } from "../app/session";
import type { Row, Store } from "stepwire";
import { Icon } from "../design/Icon";
import { Breadcrumb } from "./Breadcrumb";
import { useTrace } from "./context";
import { indexOf } from "./items";
import { Line } from "./Line";
import { type Align, ListWindow } from "./list-window";
import { target } from "./moving";
import { useMeasuring } from "./measuring";

export interface RowsHandle {
  /** Shows a row and gives it the focus, as soon as it is in the list. */
  readonly goTo: (key: string, align?: Align) => void;
  /** Shows it, and leaves the focus where it is. */
  readonly show: (key: string) => void;
}

interface Props {
  readonly ref: Ref<RowsHandle>;
  readonly list: readonly Row[];
  readonly selected: string | null;
  /** Of what is looked for, the row that is shown. */
  readonly hit: string | null;
  readonly isFiltered: boolean;
}

/** A line's height is exact: it is not measured. */
const LINE_PX = 30;
const MESSAGE_PX = 120;
const MOST_FRAMES = 30;
/** Until what comes into view with a row that is gone to has been measured. */
const ARRIVED_FRAMES = 3;
/** Momentum has ended once the list stands still for so long. */
const STILL_MS = 150;

/** The list, of which the page has what is seen. */
export function Rows({ ref, list, selected, hit, isFiltered }: Props) {
  const { open, select } = useTrace();
  const { store } = useSession();
  const scroller = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const wanted = useRef<{ key: string; align: Align; focuses: boolean } | null>(null);
  const lastAt = useRef(0);
  const focusedAt = useMemo(() => (lastAt.current = indexOf(list, focused, lastAt.current)), [list, focused]);

  const rows = useMemo(() => new ListWindow<Row>(({ message }) => (message ? MESSAGE_PX : LINE_PX)), [store]);
  rows.take(list);
  useSyncExternalStore(rows.subscribe, () => rows.version);
  const measuring = useMeasuring(rows, scroller);
  const moving = useMoving(rows);
  useLayoutEffect(() => {
    if (!rows.isMoved || !scroller.current) return;
    rows.isMoved = false;
    scroller.current.scrollTop = rows.scrollTop;
  });

  const arrive = useCallback((key: string, isFocused: boolean) => {
    if (!isFocused) setFocused(key);
    let frames = 0;
    // It is in the page once the list has come to it.
    const look = () => {
      const row = isFocused ? null : scroller.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
      row?.focus({ preventScroll: true });
      isFocused ||= row != null;
      frames += 1;
      if (frames === ARRIVED_FRAMES) rows.arrived();
      if (frames < (isFocused ? ARRIVED_FRAMES : MOST_FRAMES)) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, [rows]);
  const goTo = useCallback(
    (key: string, align: Align = "center", focuses = true) => {
      const isThere = rows.indexOf(key) >= 0;
      wanted.current = isThere ? null : { key, align, focuses };
      if (!isThere) return;
      rows.follow(false);
      rows.goTo(key, align);
      arrive(key, !focuses);
    },
    [rows, arrive],
  );
  useImperativeHandle(ref, () => ({ goTo, show: (key) => goTo(key, "center", false) }), [goTo]);
  // It had to be opened first.
  useEffect(() => {
    if (wanted.current) goTo(wanted.current.key, wanted.current.align, wanted.current.focuses);
  }, [list, goTo]);

  const onKeyDown = (event: KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
    if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = rows.indexOf(row.dataset["key"]!);
    const item = list[at];
    if (!item) return;
    const moved = target(list, at, event.key, getComputedStyle(row).direction === "rtl", Math.floor(rows.height / LINE_PX));
    if (moved === null) return;
    event.preventDefault();
    if (moved === "open" || moved === "close") open.set(item.id, moved === "open");
    else if (moved === "select") select(item.kind === "attempt" ? `run:${item.id}` : item.key);
    else {
      rows.goTo(list[moved]!.key, "auto");
      arrive(list[moved]!.key, false);
    }
  };

  const { first, last } = rows.range;
  const tabStop = focusedAt >= 0 ? focused : (list[first]?.key ?? null);
  const { topmost } = rows;
  const line = (item: Row, start?: number) => {
    const { at, of } = positionAmong(store, item);
    return (
      <Line key={item.key} item={item} start={start} measuring={measuring} at={at + 1} of={of}
        isSelected={selected === item.key} isHit={hit === item.key} isTabStop={tabStop === item.key} />
    );
  };
  const shown = list.slice(first, last + 1).map((item) => line(item));
  // The focused row stays, wherever the reader scrolls: focus would fall to the page's body.
  if (focusedAt >= 0 && (focusedAt < first || focusedAt > last)) {
    const apart = line(list[focusedAt]!, rows.startOf(focusedAt) - rows.startOf(first));
    if (focusedAt < first) shown.unshift(apart);
    else shown.push(apart);
  }
  return (
    <div className="rows-frame">
      {topmost && topmost.depth > 0 && <Breadcrumb item={topmost} onGo={goTo} />}
      <div className="rows" ref={scroller} id="timeline" {...moving} onWheel={({ currentTarget, deltaY }) => {
        // Before it has moved: what comes meanwhile would take the reader back.
        if (deltaY < 0 && currentTarget.scrollTop > 0) rows.follow(false);
      }}>
        <div role="tree" aria-label={isFiltered ? "Messages and steps, filtered" : "Messages and steps"} className="rows-all"
          style={{ height: rows.total }} onKeyDown={onKeyDown}
          onFocus={(event) => {
            const row = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
            if (row?.dataset["key"] !== undefined) setFocused(row.dataset["key"]);
          }}>
          <div className="rows-shown" role="presentation" style={{ insetBlockStart: rows.startOf(first) }}>
            {shown}
          </div>
        </div>
      </div>
      {!rows.isAtEnd && <button type="button" className="button jump" onClick={() => rows.follow(true)}><Icon name="down" />Jump to latest</button>}
    </div>
  );
}

/** Tells the window when the reader moves the list, and when a finger or its momentum does. */
function useMoving(rows: ListWindow<Row>) {
  const still = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const isTouched = useRef(false);
  useEffect(() => () => clearTimeout(still.current), []);
  return useMemo(() => {
    const soon = () => {
      clearTimeout(still.current);
      if (!isTouched.current) still.current = setTimeout(() => rows.hold(false), STILL_MS);
    };
    const ended = ({ touches }: TouchEvent) => {
      isTouched.current = touches.length > 0;
      soon();
    };
    return {
      onScroll: ({ currentTarget }: { readonly currentTarget: HTMLElement }) => {
        if (still.current !== undefined) soon();
        rows.scrolled(currentTarget.scrollTop);
      },
      // The row under the finger may be gone by then, and its events do not come to the list any more.
      onTouchStart: ({ target }: { readonly target: EventTarget }) => {
        for (const end of ["touchend", "touchcancel"]) target.addEventListener(end, ended as (event: Event) => void);
      },
      onTouchMove: () => {
        isTouched.current = true;
        clearTimeout(still.current);
        rows.hold(true);
      },
    };
  }, [rows]);
}

/** Of a list of which a window alone is in the page; a message that is being sent is the last one. */
function positionAmong(store: Store, { kind, id }: Row): { readonly at: number; readonly of: number } {
  if (kind === "attempt") return ALONE;
  const last = store.children(null).length;
  return store.position(id, kind) ?? { at: last, of: last + 1 };
}

const ALONE = { at: 0, of: 1 };

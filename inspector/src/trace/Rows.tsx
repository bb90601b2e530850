import { useVirtualizer, type VirtualItem, type Virtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type Ref } from "react";
import { useSession } from "../app/session";
import type { Row, Store } from "stepwire";
import { Icon } from "../design/Icon";
import { Breadcrumb } from "./Breadcrumb";
import { useTrace } from "./context";
import { indexOf } from "./items";
import { Line } from "./Line";
import { target } from "./moving";

export interface RowsHandle {
  /** Shows a row and gives it the focus, as soon as it is in the list. */
  readonly goTo: (key: string, align?: "center" | "auto") => void;
}

interface Props {
  readonly ref: Ref<RowsHandle>;
  readonly list: readonly Row[];
  readonly selected: string | null;
  readonly isFiltered: boolean;
}

/** Heights before they are measured; a line's is exact, so that scrolling through lines measures nothing anew. */
const LINE_PX = 30;
const MESSAGE_PX = 120;
const OVERSCAN = 12;
const AT_END_PX = 40;
const MOST_FRAMES = 30;

/**
 * A window of the list. What the reader looks at stays where it is, whatever comes or goes above it; at the end, and
 * only there, the list follows what comes.
 */
export function Rows({ ref, list, selected, isFiltered }: Props) {
  const { open, select } = useTrace();
  const { store } = useSession();
  const scroller = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const [isFollowing, setFollowing] = useFollow();
  const wanted = useRef<{ key: string; align: "center" | "auto" } | null>(null);
  const lastTop = useRef(0);
  const lastAt = useRef(0);
  const focusedAt = useMemo(() => (lastAt.current = indexOf(list, focused, lastAt.current)), [list, focused]);
  const latest = useRef(list);
  latest.current = list;

  const rows = useVirtualizer({
    count: list.length,
    getScrollElement: () => scroller.current,
    // They read the newest list, and stay the same functions, so that only what is new is laid out anew.
    estimateSize: useCallback((at: number) => (latest.current[at]?.message ? MESSAGE_PX : LINE_PX), []),
    getItemKey: useCallback((at: number) => latest.current[at]?.key ?? at, []),
    overscan: OVERSCAN,
    // Rows that come or go above what the reader looks at do not move it.
    anchorTo: "end",
    // The focused row stays, wherever the reader scrolls: focus would fall to the page's body.
    rangeExtractor: useCallback(
      ({ startIndex, endIndex, overscan, count }: { startIndex: number; endIndex: number; overscan: number; count: number }) => {
        const first = Math.max(0, startIndex - overscan);
        const last = Math.min(count - 1, endIndex + overscan);
        const shown = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
        if (focusedAt >= 0 && focusedAt < first) shown.unshift(focusedAt);
        if (focusedAt > last && focusedAt < count) shown.push(focusedAt);
        return shown;
      },
      [focusedAt],
    ),
  });

  rows.shouldAdjustScrollPositionOnItemSizeChange = staysInPlace;

  const [total, height] = [rows.getTotalSize(), rows.scrollRect?.height ?? 0];
  useLayoutEffect(() => {
    if (isFollowing.current && scroller.current) scroller.current.scrollTop = total;
  }, [total, height, list, isFollowing]);

  const focusRow = useCallback((key: string) => {
    setFocused(key);
    let frames = 0;
    // It is in the page once the list has come to it.
    const look = () => {
      const row = scroller.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
      if (row) row.focus({ preventScroll: true });
      else if ((frames += 1) < MOST_FRAMES) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, []);
  const goTo = useCallback(
    (key: string, align: "center" | "auto" = "center") => {
      const at = indexOf(latest.current, key);
      wanted.current = at < 0 ? { key, align } : null;
      if (at < 0) return;
      setFollowing(false);
      rows.scrollToIndex(at, { align });
      focusRow(key);
    },
    [rows, focusRow, setFollowing],
  );
  useImperativeHandle(ref, () => ({ goTo }), [goTo]);
  // It had to be opened first.
  useEffect(() => {
    if (wanted.current) goTo(wanted.current.key, wanted.current.align);
  }, [list, goTo]);

  const onKeyDown = (event: KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
    if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = Number(row.dataset["index"]);
    const item = list[at];
    if (!item) return;
    const moved = target(list, at, event.key, getComputedStyle(row).direction === "rtl", Math.floor((scroller.current?.clientHeight ?? 0) / LINE_PX));
    if (moved === null) return;
    event.preventDefault();
    if (moved === "open" || moved === "close") open.set(item.id, moved === "open");
    else if (moved === "select") select(item.kind === "attempt" ? `run:${item.id}` : item.key);
    else {
      focusRow(list[moved]!.key);
      rows.scrollToIndex(moved, { align: "auto" });
    }
  };

  const shown = rows.getVirtualItems();
  const tabStop = focusedAt >= 0 ? focused : (shown[0]?.key ?? null);
  const top = list[rows.range?.startIndex ?? 0];
  return (
    <div className="rows-frame">
      {top && top.depth > 0 && <Breadcrumb item={top} onGo={goTo} />}
      <div className="rows" ref={scroller} id="timeline" onWheel={({ currentTarget, deltaY }) => {
        // Before it has moved: what comes meanwhile would take the reader back.
        if (deltaY < 0 && currentTarget.scrollTop > 0) setFollowing(false);
      }} onScroll={({ currentTarget }) => {
        const { scrollTop, clientHeight } = currentTarget;
        const rest = total - scrollTop - clientHeight;
        // However little the reader moves up, they want to stay there.
        if (scrollTop < lastTop.current && rest > 1) setFollowing(false);
        else if (rest <= AT_END_PX && scrollTop > lastTop.current) setFollowing(true);
        lastTop.current = scrollTop;
      }}>
        <div role="tree" aria-label={isFiltered ? "Messages and steps, filtered" : "Messages and steps"} className="rows-all"
          style={{ height: total }} onKeyDown={onKeyDown}
          onFocus={(event) => {
            const row = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
            if (row?.dataset["key"] !== undefined) setFocused(row.dataset["key"]);
          }}>
          {shown.map(({ index, key, start }) => {
            const item = list[index];
            if (!item) return null;
            const { at, of } = positionAmong(store, item);
            return (
              <Line key={key} item={item} index={index} start={start} measure={rows.measureElement} at={at + 1} of={of}
                isSelected={selected === key} isTabStop={tabStop === key} />
            );
          })}
        </div>
      </div>
      {!isFollowing.shown && <button type="button" className="button jump" onClick={() => {
        setFollowing(true);
        if (scroller.current) scroller.current.scrollTop = total;
      }}><Icon name="down" />Jump to latest</button>}
    </div>
  );
}

/**
 * Whether the list moves with a row that is now measured, or has grown: if it is above what is read. The virtualizer
 * would not do that while the reader scrolls up, but a message grows then, too.
 */
function staysInPlace({ key, start, end }: VirtualItem, _by: number, { itemSizeCache, scrollOffset }: Virtualizer<HTMLDivElement, Element>): boolean {
  return (itemSizeCache.has(key) ? end : start + 1) <= (scrollOffset ?? 0);
}

/** Of a list of which a window alone is in the page; a message that is being sent is the last one. */
function positionAmong(store: Store, { kind, id }: Row): { readonly at: number; readonly of: number } {
  if (kind === "attempt") return ALONE;
  const last = store.children(null).length;
  return store.position(id, kind) ?? { at: last, of: last + 1 };
}

const ALONE = { at: 0, of: 1 };

/** Whether the list follows its end: from when the reader is there until they move up. It renders when that changes. */
function useFollow(): [{ current: boolean; shown: boolean }, (follows: boolean) => void] {
  const follow = useRef({ current: true, shown: true }).current;
  const [shown, show] = useState(true);
  follow.shown = shown;
  const set = useCallback((follows: boolean) => {
    follow.current = follows;
    show(follows);
  }, [follow]);
  return [follow, set];
}

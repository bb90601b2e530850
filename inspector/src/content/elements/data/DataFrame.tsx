import { useVirtualizer } from "@tanstack/react-virtual";
import type { StepElement } from "stepwire";
import { useMemo, useRef, useState, type CSSProperties } from "react";
import { announce } from "../../../app/announce";
import { parsed } from "../../text/json";
import { CopyButton } from "../../text/CopyButton";
import { Misfit } from "../misfit";
import { Fetched } from "../Fetched";
import { nameOf } from "../names";
import { csvOf, isNumeric, sorted, tableOf, widthOf, wordsOf, type Sorting, type Table } from "./table";

const MOST_BYTES = 20_000_000;
const ROW_PX = 28;
const CHAR_PX = 8;
const PADDING_PX = 20;
const SCROLLBAR_PX = 18;
/** A browser cannot make a taller box. */
const MOST_ROWS = 500_000;

/** A table of which the part in view is there, sorted by the column that the reader chooses. */
export function DataFrame({ element }: { readonly element: StepElement }) {
  return <Fetched element={element} read={read} most={MOST_BYTES}>{(table) => <Grid table={table} name={nameOf(element)} />}</Fetched>;
}

async function read(blob: Blob): Promise<Table> {
  const value = parsed(await blob.text());
  if (value === undefined) throw new Misfit("It is not a table, though its type says so: it is not JSON.");
  return tableOf(value);
}

function Grid({ table, name }: { readonly table: Table; readonly name: string }) {
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const order = useMemo(() => sorted(table, sorting), [table, sorting]);
  const widths = useMemo(() => [-1, ...table.columns.keys()].map((column) => widthOf(table, column) * CHAR_PX + PADDING_PX), [table]);
  const numeric = useMemo(() => table.columns.map((_, column) => isNumeric(table, column)), [table]);
  const box = useRef<HTMLDivElement>(null);
  const count = Math.min(order.length, MOST_ROWS);
  const rows = useVirtualizer({ count, getScrollElement: () => box.current, estimateSize: () => ROW_PX, overscan: 8 });
  const columns = useVirtualizer({ count: widths.length, horizontal: true, getScrollElement: () => box.current, estimateSize: (at) => widths[at]!, overscan: 3 });
  const shown = columns.getVirtualItems();
  const sort = (column: number) => {
    const next = nextSorting(sorting, column);
    setSorting(next);
    announce(next ? `Sorted by ${headOf(table, column)}, ${next.down ? "the highest first" : "the lowest first"}` : "In the order of the table");
  };
  return (
    <div className="data">
      <div ref={box} className="data-box" role="table" aria-label={name} aria-rowcount={table.rows.length + 1} aria-colcount={widths.length} tabIndex={0} style={{ "--rows": `${rows.getTotalSize() + ROW_PX + SCROLLBAR_PX}px` } as CSSProperties}>
        <div className="data-all" role="presentation" style={{ height: rows.getTotalSize() + ROW_PX, width: columns.getTotalSize() }}>
          <div className="data-head" role="row" aria-rowindex={1}>
            {shown.map(({ index, start, size }) => (
              <Head key={index} at={index} table={table} sorting={sorting} sort={sort} numeric={numeric[index - 1] ?? false} style={{ insetInlineStart: start, width: size }} />
            ))}
          </div>
          {rows.getVirtualItems().map((row) => (
            <div key={row.key} role="row" className="data-row" aria-rowindex={row.index + 2} style={{ insetBlockStart: row.start + ROW_PX }}>
              {shown.map(({ index, start, size }) => (
                <Cell key={index} at={index} row={order[row.index]!} table={table} numeric={numeric[index - 1] ?? false} style={{ insetInlineStart: start, width: size }} />
              ))}
            </div>
          ))}
        </div>
      </div>
      <p className="data-foot">
        <span className="hint">
          {table.rows.length.toLocaleString()} rows × {table.columns.length.toLocaleString()} columns
          {count < order.length && `; the first ${count.toLocaleString()} are shown`}
        </span>
        <CopyButton text={() => csvOf(table, order)} what="table as CSV" />
      </p>
    </div>
  );
}

interface HeadProps {
  readonly at: number;
  readonly table: Table;
  readonly sorting: Sorting | null;
  readonly sort: (column: number) => void;
  readonly numeric: boolean;
  readonly style: CSSProperties;
}

function Head({ at, table, sorting, sort, numeric, style }: HeadProps) {
  const column = at - 1;
  const down = sorting?.column === column ? sorting.down : null;
  const head = headOf(table, column);
  return (
    <div role="columnheader" aria-colindex={at + 1} aria-sort={down === null ? "none" : down ? "descending" : "ascending"} className={numeric ? "data-cell number" : "data-cell"} style={style}>
      <button type="button" title={head} onClick={() => sort(column)}>
        <bdi>{column < 0 ? <span className="visually-hidden">index</span> : head}</bdi>
        <span aria-hidden="true">{down === null ? "" : down ? " ↓" : " ↑"}</span>
      </button>
    </div>
  );
}

interface CellProps {
  readonly at: number;
  readonly row: number;
  readonly table: Table;
  readonly numeric: boolean;
  readonly style: CSSProperties;
}

function Cell({ at, row, table, numeric, style }: CellProps) {
  const value = at === 0 ? table.index[row] : table.rows[row]![at - 1];
  const text = wordsOf(value);
  return (
    <div role={at === 0 ? "rowheader" : "cell"} aria-colindex={at + 1} className={numeric ? "data-cell number" : "data-cell"} style={style} title={text.length > 40 ? text.slice(0, 1000) : undefined}>
      {value === null ? <span className="hint">null</span> : <bdi>{text.slice(0, 300)}</bdi>}
    </div>
  );
}

function headOf(table: Table, column: number): string {
  return column < 0 ? "the index" : table.columns[column] || `column ${column + 1}`;
}

/** Rising, falling, as it came. */
function nextSorting(sorting: Sorting | null, column: number): Sorting | null {
  if (sorting?.column !== column) return { column, down: false };
  return sorting.down ? null : { column, down: true };
}

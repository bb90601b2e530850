import { useState, type ReactNode } from "react";

/** So many cells are shown at first, and each time that more are wanted. */
const CELLS = 4000;

/** The rows of a table; of a very large one the first, until more are wanted. */
export function Rows({ rows, columns }: { readonly rows: readonly ReactNode[]; readonly columns: number }) {
  const more = Math.max(1, Math.ceil(CELLS / columns));
  const [most, setMost] = useState(more);
  const hidden = rows.length - most;
  if (hidden <= 0) return <tbody>{rows}</tbody>;
  return (
    <>
      <tbody>{rows.slice(0, most)}</tbody>
      <tfoot>
        <tr>
          <td colSpan={columns}>
            <button type="button" className="button quiet" onClick={() => setMost(most + more)}>
              Show {Math.min(more, hidden).toLocaleString()} more of {hidden.toLocaleString()} rows
            </button>
          </td>
        </tr>
      </tfoot>
    </>
  );
}

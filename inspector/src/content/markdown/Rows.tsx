import { useState, type ReactNode } from "react";

const AT_FIRST = 200;
const MORE = 1000;

/** The rows of a table; of a very long one the first, until more are wanted. */
export function Rows({ rows }: { readonly rows: readonly ReactNode[] }) {
  const [most, setMost] = useState(AT_FIRST);
  const hidden = rows.length - most;
  if (hidden <= 0) return <tbody>{rows}</tbody>;
  return (
    <>
      <tbody>{rows.slice(0, most)}</tbody>
      <tfoot>
        <tr>
          <td colSpan={1000}>
            <button type="button" className="button quiet" onClick={() => setMost(most + MORE)}>
              Show {Math.min(MORE, hidden).toLocaleString()} more of {hidden.toLocaleString()} rows
            </button>
          </td>
        </tr>
      </tfoot>
    </>
  );
}

const DEEPEST = 12;

/** How far a row stands in; from the depth at which nothing more can stand in, its level is said in a number. */
export function Indent({ depth }: { readonly depth: number }) {
  return (
    <span className="indent" style={{ inlineSize: `calc(${Math.min(depth, DEEPEST)} * var(--indent))` }} aria-hidden="true">
      {depth > DEEPEST && <span className="indent-level">{depth}</span>}
    </span>
  );
}

/** What is wrong with an element, where it would stand. */
export function MisfitNote({ reason, again }: { readonly reason: string; readonly again?: (() => void) | undefined }) {
  return (
    <p className="element-misfit" role="note">
      {reason}
      {again && <button type="button" className="button quiet" onClick={again}>Try again</button>}
    </p>
  );
}

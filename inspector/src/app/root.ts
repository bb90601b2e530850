/**
 * The path under which the gateway stands on its site, with a slash at its end: `/`, or `/stepwire/` behind a
 * proxy or in another application. The page itself is there.
 */
export const ROOT = new URL(".", location.href).pathname;

/**
 * What this page keeps in the browser, it keeps for its origin: another gateway may be there too, under
 * another path, and must get neither its tokens nor its sessions.
 */
const ownKey = (name: string) => `stepwire.${name}${ROOT === "/" ? "" : ` ${ROOT}`}`;

/** A value that outlives the page (`local`) or the tab's reloads (`session`); a browser that keeps nothing loses it. */
export function kept(name: string, where: "local" | "session" = "local") {
  const storage = () => (where === "local" ? localStorage : sessionStorage);
  let last: string | null = null;
  return {
    get(): string | null {
      try {
        return storage().getItem(ownKey(name));
      } catch {
        return last;
      }
    },
    set(value: string | null): void {
      last = value;
      try {
        if (value === null) storage().removeItem(ownKey(name));
        else storage().setItem(ownKey(name), value);
      } catch {
        // Private, or full.
      }
    },
  };
}

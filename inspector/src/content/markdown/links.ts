/** Where a link leads. */
export interface Target {
  readonly href: string;
  /** The site, or the address of a mail, as a reader should see it: of a name in other letters its ASCII form. */
  readonly place: string;
}

const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/**
 * The target of an address that anybody may have written; null for what cannot be followed: scripts, data, files,
 * and what is not a whole address, since a text has no place that it could be relative to.
 */
export function targetOf(address: string): Target | null {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!PROTOCOLS.has(url.protocol)) return null;
  return { href: url.href, place: url.protocol === "mailto:" ? decoded(url.pathname) : url.host };
}

/** Whether the words of a link say where it leads: they are the address, or the name of the site. */
export function saysPlace(words: string, place: string): boolean {
  const said = words.trim().toLowerCase();
  const target = targetOf(said) ?? targetOf(`https://${said}`);
  return said === place.toLowerCase() || (target !== null && !/[\s]/.test(said) && target.place === place);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What screen readers are told; one region of the page speaks, so that nothing is said over something else. */
const ID = "announcer";

export function announce(words: string): void {
  const region = document.getElementById(ID);
  if (!region) return;
  // The same words again are another announcement.
  region.textContent = region.textContent === words ? `${words}\u00a0` : words;
}

export const ANNOUNCER = ID;

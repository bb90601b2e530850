const MOST = 20;

/** A text in which what is looked for is marked. */
export function Marked({ text, words }: { readonly text: string; readonly words: string }) {
  if (!words) return text;
  const parts: React.ReactNode[] = [];
  const [within, wanted] = [text.toLowerCase(), words.toLowerCase()];
  let from = 0;
  for (let at = within.indexOf(wanted); at >= 0 && parts.length < MOST; at = within.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + words.length)}</mark>);
    from = at + words.length;
  }
  return [...parts, text.slice(from)];
}

import { memo, useLayoutEffect, useRef, useState } from "react";
import { Blocks, type Block } from "./blocks";
import { render } from "./render";

interface Props {
  readonly text: string;
  /** It may still grow. */
  readonly streaming: boolean;
}

/** A text in Markdown, read and rendered block by block. */
export function Markdown({ text, streaming }: Props) {
  const [blocks] = useState(() => new Blocks());
  const began = performance.now();
  const shown = usePaced(text, streaming, began);
  const all = blocks.take(shown, !streaming);
  // What grows before the reader's eyes is not taken away from them.
  const [most, setMost] = useState(streaming ? Infinity : PARTS);
  const hidden = all.length - most;
  return (
    <div className="md">
      {groupsOf(hidden > 0 ? all.slice(0, most) : all).map((group) => <Group key={group[0]!.at} blocks={group} />)}
      {hidden > 0 && (
        <button type="button" className="button quiet fold" onClick={() => setMost(most + PARTS)}>
          Show {Math.min(PARTS, hidden).toLocaleString()} more of {hidden.toLocaleString()} parts
        </button>
      )}
    </div>
  );
}

/** So many blocks are shown at first, and each time that more are wanted. */
const PARTS = 2000;
/** So many blocks are looked at, and laid out, together. */
const GROUP = 64;

function groupsOf(blocks: readonly Block[]): (readonly Block[])[] {
  const groups = [];
  for (let from = 0; from < blocks.length; from += GROUP) groups.push(blocks.slice(from, from + GROUP));
  return groups;
}

const Group = memo(
  function Group({ blocks }: { readonly blocks: readonly Block[] }) {
    return <div className="md-group">{blocks.map((block) => <Shown key={block.at} block={block} />)}</div>;
  },
  ({ blocks: before }, { blocks }) => before.length === blocks.length && blocks.every((block, at) => block === before[at]),
);

const Shown = memo(
  function Shown({ block }: { readonly block: Block }) {
    // Half of a formula is not one.
    if (block.tokens.length === 0) return <pre className="md-tex" dir="ltr">{block.source}</pre>;
    return <div className="md-block">{render(block.tokens, block.open)}</div>;
  },
  (before, { block }) => before.block.tokens === block.tokens && before.block.open === block.open,
);

/** Of the time, at most so much goes into a text that grows. */
const SHARE = 0.15;
const LONGEST_MS = 2000;

/**
 * The text as it is shown now. One whose last block is dear, such as a list of a thousand items, is shown
 * less often while it grows; the whole text is shown at once.
 */
function usePaced(text: string, streaming: boolean, began: number): string {
  const [shown, setShown] = useState(text);
  const cost = useRef(0);
  const last = useRef(0);
  const now = streaming && text.startsWith(shown) ? shown : text;
  useLayoutEffect(() => {
    cost.current = performance.now() - began;
    last.current = began;
  }, [now]);
  useLayoutEffect(() => {
    if (now === text) return;
    const wait = Math.min(LONGEST_MS, cost.current / SHARE) - (performance.now() - last.current);
    if (wait <= 0) return setShown(text);
    const timer = setTimeout(() => setShown(text), wait);
    return () => clearTimeout(timer);
  }, [text, now]);
  return now;
}

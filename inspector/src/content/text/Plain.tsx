import { memo, useState } from "react";
import { Chunks } from "./lines";

/** A text as it is, each line in the direction of its own letters. */
export function Plain({ text }: { readonly text: string }) {
  const [chunks] = useState(() => new Chunks());
  return (
    <div className="plain">
      {chunks.take(text).map((chunk, at) => <Chunk key={at} text={chunk} />)}
    </div>
  );
}

// A newline at its end would be a line of its own: the next piece begins one.
const Chunk = memo(function Chunk({ text }: { readonly text: string }) {
  return <div className="chunk">{text.replace(/\n$/, "") || "\u200b"}</div>;
});

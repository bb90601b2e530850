import { useState } from "react";
import { announce } from "../app/announce";
import { Icon } from "../design/Icon";

const TOLD_MS = 1500;

/** Puts a text into the clipboard, and says so. */
export function CopyButton({ text, label }: { readonly text: () => string; readonly label: string }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    await copied(text());
    setDone(true);
    announce("Copied");
    setTimeout(() => setDone(false), TOLD_MS);
  };
  return (
    <button type="button" className="button quiet icon-only" aria-label={label} title={label}
      onClick={(event) => {
        event.stopPropagation();
        void copy();
      }}>
      <Icon name={isDone ? "ok" : "copy"} />
    </button>
  );
}

async function copied(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // A page that was not loaded over HTTPS has no clipboard.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

import { useState } from "react";
import { announce } from "../../app/announce";
import { Icon } from "../../design/Icon";

const SHOWN_MS = 1500;

/** Copies a text, and says whether it could. */
export function CopyButton({ text, what }: { readonly text: () => string; readonly what: string }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const copy = async () => {
    const done = await copied(text());
    setState(done ? "copied" : "failed");
    announce(done ? `The ${what} was copied` : `The ${what} could not be copied: select it, and copy it with the keyboard`);
    setTimeout(() => setState("idle"), SHOWN_MS);
  };
  const label = { idle: `Copy the ${what}`, copied: "Copied", failed: "Could not copy" }[state];
  return (
    <button type="button" className="button quiet icon-only" aria-label={label} title={label} onClick={() => void copy()}>
      <Icon name={{ idle: "copy", copied: "ok", failed: "error" }[state] as "copy"} />
    </button>
  );
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page without TLS has no clipboard of the new kind.
    return copiedFromField(text);
  }
}

function copiedFromField(text: string): boolean {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

import type { StepElement } from "stepwire";
import { useCurrentSession } from "stepwire/react";
import { useState } from "react";
import { Icon } from "../../design/Icon";
import { Link } from "../markdown/Link";
import { bytes } from "../../app/words";
import { isCount } from "../numbers";
import { isOurs } from "./bytes";
import { nameOf } from "./names";
import { showElement } from "./panel";

/** What the bytes of which the page shows something are called, and how to get them. */
export function Caption({ element, inPanel = false }: { readonly element: StepElement; readonly inPanel?: boolean }) {
  const session = useCurrentSession();
  const name = nameOf(element);
  const hasBytes = isOurs(element) && element.type !== "custom";
  if (element.type === "tasklist") return null;
  const facts = [element.mime, isCount(element.size) ? bytes(element.size) : ""].filter(Boolean).join(", ");
  return (
    <figcaption className="element-caption">
      <bdi className="element-name">{hasBytes || element.type === "custom" ? name : <Link address={absolute(element.url)} words={name}>{name}</Link>}</bdi>
      {element.type !== "custom" && <span className="hint">{facts}</span>}
      {hasBytes && (
        <span className="element-tools">
          {!inPanel && ENLARGED.has(element.type) && (
            <button type="button" className="button quiet icon-only" aria-label={`Enlarge ${name}`} title="Enlarge" onClick={() => showElement(session, element, "page")}>
              <Icon name="search" />
            </button>
          )}
          <Download element={element} name={name} />
        </span>
      )}
    </figcaption>
  );
}

const ENLARGED = new Set(["image", "plotly", "dataframe", "pdf", "text", "json"]);

/** The token stays out of the address bar and the history: the file is fetched, and handed to the browser. */
function Download({ element, name }: { readonly element: StepElement; readonly name: string }) {
  const session = useCurrentSession();
  const [state, setState] = useState<"idle" | "busy" | "failed">("idle");
  const download = async () => {
    setState("busy");
    try {
      save(await session.elementBlob(element), name);
      setState("idle");
    } catch {
      setState("failed");
    }
  };
  return (
    <>
      {state === "failed" && <span className="problem" role="alert">It did not come.</span>}
      <button type="button" className="button quiet icon-only" aria-label={`Download ${name}`} title="Download" disabled={state === "busy"} onClick={() => void download()}>
        <Icon name="download" />
      </button>
    </>
  );
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** An address of the author may be one of this site. */
function absolute(url: unknown): string {
  try {
    return new URL(String(url), location.origin).href;
  } catch {
    return "";
  }
}

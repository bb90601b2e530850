import type { StepElement } from "stepwire";
import { useEffect, useState } from "react";
import { Misfit } from "../misfit";
import { Fetched } from "../Fetched";
import { nameOf } from "../names";

const MOST_BYTES = 50_000_000;

/** A document in the browser's own viewer. */
export function Pdf({ element }: { readonly element: StepElement }) {
  if (!navigator.pdfViewerEnabled) return <p className="hint">This browser shows no PDF in a page: download it.</p>;
  const page = Number((element.props as { page?: unknown } | undefined)?.page);
  return (
    <Fetched element={element} read={documentOf} most={MOST_BYTES}>
      {(document) => <Viewer document={document} name={nameOf(element)} page={Number.isInteger(page) && page > 0 ? page : 1} />}
    </Fetched>
  );
}

function Viewer({ document, name, page }: { readonly document: Blob; readonly name: string; readonly page: number }) {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(document);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [document]);
  return url && <iframe className="element-pdf" src={`${url}#page=${page}`} title={name} />;
}

/** Whatever its type says, it is opened as a PDF, or not at all: a page of this origin could do all that this one can. */
async function documentOf(blob: Blob): Promise<Blob> {
  const head = new TextDecoder("latin1").decode(await blob.slice(0, 1024).arrayBuffer());
  if (!head.includes("%PDF-")) throw new Misfit("It is not a PDF, though its type says so.");
  return new Blob([blob], { type: "application/pdf" });
}

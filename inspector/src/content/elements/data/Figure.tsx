import type { StepElement } from "stepwire";
import { useEffect, useRef, useState } from "react";
import { Misfit } from "../misfit";
import { Fetched } from "../Fetched";
import { MisfitNote } from "../MisfitNote";
import { nameOf } from "../names";
import type { PlotlyFigure } from "./plotly";

const MOST_BYTES = 10_000_000;

/** An interactive chart. The library that draws it is loaded when there is one. */
export function Figure({ element }: { readonly element: StepElement }) {
  return <Fetched element={element} read={read} most={MOST_BYTES}>{(figure) => <Plot figure={figure} name={nameOf(element)} />}</Fetched>;
}

async function read(blob: Blob): Promise<PlotlyFigure> {
  let value: PlotlyFigure;
  try {
    value = JSON.parse(await blob.text()) as PlotlyFigure;
  } catch {
    throw new Misfit("It is not a figure, though its type says so: it is not JSON.");
  }
  if (!Array.isArray((value as { data?: unknown } | null)?.data)) throw new Misfit("It is not a figure, though its type says so: it needs a list of traces in data.");
  return value;
}

function Plot({ figure, name }: { readonly figure: PlotlyFigure; readonly name: string }) {
  const place = useRef<HTMLDivElement>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let isThere = true;
    let leave = () => {};
    import("./plotly").then(({ draw }) => (isThere && place.current ? draw(place.current, figure) : () => {})).then(
      (done) => (isThere ? (leave = done) : done()),
      (error: unknown) => isThere && setFault(`It cannot be drawn: ${error instanceof Error ? error.message : String(error)}`),
    );
    return () => {
      isThere = false;
      leave();
    };
  }, [figure]);
  if (fault) return <MisfitNote reason={fault} />;
  return <div ref={place} className="element-plot" role="group" aria-label={`Chart: ${name}`} />;
}

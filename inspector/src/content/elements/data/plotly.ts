/** A chunk of its own, and by far the largest. The strict edition needs no `eval`, which this page's policy forbids. */
import "./plotly-rules";
import Plotly from "plotly.js-strict-dist-min";

type Fields = Record<string, unknown>;
export interface PlotlyFigure {
  readonly data: readonly Fields[];
  readonly layout?: Fields;
}

const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", topojsonURL: "", modeBarButtonsToRemove: ["sendDataToCloud"] };
/** Kinds that ask another site for their maps. */
const MAPS = /^(scatter|choropleth|density)(map|mapbox)$|^(scattergeo|choropleth)$/;

/** Draws a figure, in the page's colours where it has none of its own, and again when these change. @returns takes it away */
export async function draw(place: HTMLElement, figure: PlotlyFigure): Promise<() => void> {
  const kinds = figure.data.map((trace) => String(trace?.["type"] ?? "scatter"));
  const map = kinds.find((kind) => MAPS.test(kind));
  if (map) throw new Error(`a map (${map}) needs another site, which this page does not ask.`);
  const show = () => Plotly.react(place, figure.data as never, layoutOf(figure, place) as never, CONFIG as never);
  await show();
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const watch = new MutationObserver(() => void show());
  scheme.addEventListener("change", show);
  watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => {
    scheme.removeEventListener("change", show);
    watch.disconnect();
    Plotly.purge(place);
  };
}

function layoutOf({ layout = {} }: PlotlyFigure, place: HTMLElement): Fields {
  const colour = (name: string) => resolved(place, name);
  const line = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line-strong") };
  const own: Fields = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--text") }, margin: { t: layout["title"] ? 50 : 20, r: 20 } };
  // A picture of another site would tell it that this is read.
  const images = Array.isArray(layout["images"]) ? layout["images"].filter((image: Fields | null) => String(image?.["source"]).startsWith("data:")) : [];
  const { template, width: _width, ...rest } = layout;
  // The template that plotly puts into each figure is a light one; one that the author chose for a reason has more than colours.
  return { ...own, template: templateOf(template, own, line), ...rest, images, autosize: true };
}

function templateOf(template: unknown, own: Fields, line: Fields): unknown {
  const given = (template ?? {}) as { layout?: Fields };
  const axis = (name: string) => ({ ...(given.layout?.[name] as Fields | undefined), ...line });
  return { ...given, layout: { ...given.layout, ...own, xaxis: axis("xaxis"), yaxis: axis("yaxis") } };
}

/** The colour as numbers: plotly does not know `light-dark()`. */
function resolved(place: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

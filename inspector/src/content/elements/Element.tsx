import type { StepElement } from "stepwire";
import { CustomElement } from "./CustomElement";
import { DataFrame } from "./data/DataFrame";
import { Figure } from "./data/Figure";
import { isOurs } from "./bytes";
import { Pdf } from "./media/Pdf";
import { Picture } from "./media/Picture";
import { Recording } from "./media/Recording";
import { TaskList } from "./TaskList";
import { JsonFile, TextFile } from "./TextFile";

/** How each type is shown; any other is offered for download by its caption. */
const SHOWN: Readonly<Record<string, (props: { readonly element: StepElement }) => React.ReactNode>> = {
  text: TextFile, json: JsonFile, dataframe: DataFrame, plotly: Figure, pdf: Pdf, image: Picture, audio: Recording, video: Recording,
};
/** These have all in their document, and come again when it changes. */
const LIVE: typeof SHOWN = { tasklist: TaskList, custom: CustomElement };

/** An element in the form of its type. Nothing is loaded from elsewhere: such an element is a link in its caption. */
export function Element({ element }: { readonly element: StepElement }) {
  const Live = Object.hasOwn(LIVE, element.type) ? LIVE[element.type] : undefined;
  if (Live) return <Live element={element} />;
  const Type = Object.hasOwn(SHOWN, element.type) ? SHOWN[element.type] : undefined;
  return Type && isOurs(element) ? <Type key={element.sha256} element={element} /> : null;
}

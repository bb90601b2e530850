import type { StepElement } from "stepwire";
import { useCurrentSession, useElements } from "stepwire/react";
import { Icon } from "../../design/Icon";
import { Caption } from "./Caption";
import { Element } from "./Element";
import { nameOf } from "./names";
import { showElement } from "./panel";
import "../content.css";

/** So many stand in their step at first. */
const AT_FIRST = 20;

/** What a step shows beside its text, each where its author wants it; null: what was uploaded and not sent. */
export function Elements({ stepId }: { readonly stepId: string | null }) {
  const elements = useElements(stepId);
  if (elements.length === 0) return null;
  return <List elements={elements} />;
}

function List({ elements }: { readonly elements: readonly StepElement[] }) {
  const first = elements.slice(0, AT_FIRST);
  const rest = elements.slice(AT_FIRST);
  return (
    <>
      <ul className="content-elements" aria-label="Attached">
        {first.map((element) => <li key={element.id} data-element-id={element.id} data-type={element.type}><Placed element={element} /></li>)}
      </ul>
      {rest.length > 0 && (
        <details className="element-rest">
          <summary>{rest.length.toLocaleString()} more</summary>
          <RestOf elements={rest} />
        </details>
      )}
    </>
  );
}

/** Of very many, names: each opens beside the page. */
function RestOf({ elements }: { readonly elements: readonly StepElement[] }) {
  return (
    <ul className="content-elements names">
      {elements.map((element) => <li key={element.id}><Opener element={element} display="side" /></li>)}
    </ul>
  );
}

function Placed({ element }: { readonly element: StepElement }) {
  const { display } = element;
  if (display === "side" || display === "page") return <Opener element={element} display={display as "side" | "page"} />;
  return (
    <figure className="element">
      <Element element={element} />
      <Caption element={element} />
    </figure>
  );
}

/** What stands beside the conversation, or on a page of its own, is opened from where it belongs. */
function Opener({ element, display }: { readonly element: StepElement; readonly display: "side" | "page" }) {
  const session = useCurrentSession();
  return (
    <button type="button" className="button element-opener" aria-haspopup="dialog" onClick={() => showElement(session, element, display)}>
      <Icon name="file" />
      <bdi>{nameOf(element)}</bdi>
      <span className="hint">{display === "page" ? "opens as a page" : "opens beside"}</span>
    </button>
  );
}

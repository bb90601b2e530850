import { useState } from "react";
import type { StepElement } from "stepwire";
import { useStore } from "stepwire/react";
import { Caption } from "../../content/elements/Caption";
import { Element } from "../../content/elements/Element";
import { Icon } from "../../design/Icon";
import { findBox } from "../focus";
import { textOf, useOwnElement } from "./own";

/** What the application shows beside the conversation. A person may close it on this page: news opens it again. */
export function Sidebar() {
  const sidebar = useOwnElement("sidebar");
  const [closed, close] = useState("");
  if (!sidebar) return null;
  const ids = Array.isArray(sidebar.props["elements"]) ? sidebar.props["elements"].map(textOf) : [];
  const state = JSON.stringify([ids, sidebar.props["key"]]);
  if (closed === state) return <button type="button" className="button quiet talk-sidebar-open" onClick={() => close("")}>Show the sidebar</button>;
  const title = textOf(sidebar.props["title"]) || "Beside the conversation";
  return (
    <aside className="talk-sidebar" aria-label={title}>
      <header className="talk-dialog-head">
        <h2 dir="auto">{title}</h2>
        <button type="button" className="button quiet icon-only" aria-label="Close the sidebar" onClick={() => {
          close(state);
          findBox()?.focus();
        }}><Icon name="close" /></button>
      </header>
      <div className="talk-sidebar-body">{ids.map((id) => <One key={id} id={id} />)}</div>
    </aside>
  );
}

function One({ id }: { readonly id: string }) {
  // An element that comes with a step is noted under that step: what is here is looked for again with all that changes.
  const element = useStore("any", (store): StepElement | null => store.element(id) ?? null);
  return element && <figure className="element" data-element-id={id}><Element element={element} /><Caption element={element} /></figure>;
}

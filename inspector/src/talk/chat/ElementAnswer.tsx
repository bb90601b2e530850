import { useState } from "react";
import type { Ask, JsonValue } from "stepwire";
import { useElements } from "stepwire/react";
import { useSession } from "../../app/session";
import { Fields, notJson } from "../form/Fields";
import { fieldsOf, type Problems, type Schema, type Values } from "../form/schema";
import { useKept, type Sending } from "../kept";

const NONE: Problems = new Map();

/**
 * An element of the application's own, which a page of its own draws: here, a field for each of its facts, and the
 * answer is what stands in them.
 */
export function ElementAnswer({ ask, sending }: { readonly ask: Ask; readonly sending: Sending }) {
  const session = useSession();
  const element = useElements(ask.step_id).find(({ id }) => id === ask.element_id);
  const [edited, setEdited] = useKept<Values | null>(`submission ${ask.id}`, null);
  const [problems, setProblems] = useState(NONE);
  if (!element) return null;
  const props = element.props as Values;
  const schema = schemaOf(props);
  const fields = fieldsOf(schema) ?? [];
  const answer = async (submitted: boolean) => {
    const values = edited ?? props;
    const broken = submitted ? notJson(values) : [];
    setProblems(new Map(broken));
    if (broken.length > 0) return;
    const submission = submitted ? { submitted, props: values as Record<string, JsonValue> } : { submitted };
    if (await sending.send(submission, (id) => session.answer(ask.id, { submission }, { id }))) setEdited(undefined);
  };
  return (
    <form className="talk-element" noValidate aria-label={element.name} onSubmit={(event) => {
      event.preventDefault();
      void answer(true);
    }}>
      <Fields fields={fields} values={edited ?? props} root={schema} problems={problems} onChange={setEdited} />
      <div className="talk-choices">
        <button type="submit" className="button primary" aria-disabled={sending.busy || undefined}>Submit</button>
        <button type="button" className="button quiet" onClick={() => void answer(false)}>Cancel</button>
      </div>
    </form>
  );
}

/** A schema of what is there, as nobody has said one. */
function schemaOf(props: Values): Schema {
  return { type: "object", properties: Object.fromEntries(Object.entries(props).map(([name, value]) => [name, schemaOfValue(value)])) };
}

function schemaOfValue(value: unknown): Schema {
  if (typeof value === "boolean" || typeof value === "number" || typeof value === "string") return { type: typeof value };
  if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string")) return { type: "array", items: { type: "string" } };
  return {};
}

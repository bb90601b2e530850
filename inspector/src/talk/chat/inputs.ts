/** The inputs of the settings of a session (docs/protocol.md), as the page reads them: whatever is not as it should be is left out. */
import { isObject, textOf } from "./own";

export interface Input {
  readonly id: string;
  readonly type: string;
  readonly label: string;
  readonly description: string;
  readonly disabled: boolean;
  readonly given: Readonly<Record<string, unknown>>;
}

export interface Tab {
  readonly id: string;
  /** Empty where the form has no tabs. */
  readonly label: string;
  readonly inputs: readonly Input[];
}

export interface Item {
  readonly label: string;
  readonly value: string;
}

/** The inputs by their tabs; those that stand outside of any come first. */
export function tabsOf(props: Readonly<Record<string, unknown>>): readonly Tab[] {
  const all = Array.isArray(props["inputs"]) ? props["inputs"].filter(isObject) : [];
  const alone = all.filter((one) => !("inputs" in one)).flatMap(inputOf);
  const tabs = all.filter((one) => "inputs" in one).map((one) => ({
    id: textOf(one["id"]),
    label: textOf(one["label"]) || textOf(one["id"]),
    inputs: (Array.isArray(one["inputs"]) ? one["inputs"].filter(isObject) : []).flatMap(inputOf),
  }));
  return alone.length > 0 ? [{ id: "", label: tabs.length > 0 ? "General" : "", inputs: alone }, ...tabs] : tabs;
}

function inputOf(given: Readonly<Record<string, unknown>>): Input[] {
  const id = textOf(given["id"]);
  if (!id) return [];
  const hints = [textOf(given["description"]), textOf(given["tooltip"])].filter(Boolean).join(" ");
  return [{ id, type: textOf(given["type"]), label: textOf(given["label"]) || id, description: hints, disabled: given["disabled"] === true, given }];
}

export function itemsOf({ given }: Input): readonly Item[] {
  const items = Array.isArray(given["items"]) ? given["items"].filter(isObject) : [];
  return items.map((item) => ({ label: textOf(item["label"]) || textOf(item["value"]), value: textOf(item["value"]) }));
}

export function valueOf(input: Input, values: unknown): unknown {
  const known = isObject(values) ? values[input.id] : undefined;
  return known === undefined ? (input.given["initial"] ?? null) : known;
}

/** Values of the form that the person has changed; of an input that is gone, nothing is left. */
export function changed(tabs: readonly Tab[], values: unknown, edited: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const inputs = tabs.flatMap((tab) => tab.inputs);
  return Object.fromEntries(Object.entries(edited).filter(([id, value]) => {
    const input = inputs.find((one) => one.id === id);
    return input !== undefined && !input.disabled && JSON.stringify(valueOf(input, values)) !== JSON.stringify(value);
  }));
}

/**
 * From the JSON Schema of a task's arguments to fields, and what is wrong with what was filled in. What no field can
 * be made for is written as JSON: nothing that the task takes is out of reach.
 */
import { Validator, type Schema as ValidatorSchema } from "@cfworker/json-schema";
import type { JsonValue } from "stepwire";

export type Schema = Readonly<Record<string, unknown>>;
export type Values = Readonly<Record<string, unknown>>;

/** A control for one value. */
export type Control =
  | { readonly kind: "text"; readonly type: string; readonly long: boolean; readonly maxLength: number | undefined }
  | { readonly kind: "number"; readonly integer: boolean }
  | { readonly kind: "boolean" }
  | { readonly kind: "choice"; readonly values: readonly JsonValue[] }
  | { readonly kind: "list"; readonly item: Schema }
  | { readonly kind: "object"; readonly fields: readonly Field[] }
  | { readonly kind: "json" };

export interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly title: string;
  readonly description: string;
  readonly required: boolean;
  /** Whether null is a value: an empty field stands for it. */
  readonly nullable: boolean;
  readonly control: Control;
}

const MAX_DEPTH = 4;
const INPUT_TYPES: Readonly<Record<string, string>> = { date: "date", time: "text", "date-time": "text", email: "email", uri: "url", password: "password" };

const isObject = (value: unknown): value is Schema => typeof value === "object" && value !== null && !Array.isArray(value);
const textOf = (value: unknown) => (typeof value === "string" ? value : "");

/** The schema that a reference means, with what stands beside it. */
export function resolved(schema: Schema, root: Schema, depth = 0): Schema {
  const ref = schema["$ref"];
  const { $ref: _, ...beside } = schema;
  if (typeof ref === "string" && depth < 20) {
    const name = /^#\/\$defs\/(.+)$/.exec(ref)?.[1]?.replaceAll("~1", "/").replaceAll("~0", "~");
    const found = name === undefined || !isObject(root["$defs"]) ? undefined : root["$defs"][name];
    return isObject(found) ? resolved({ ...found, ...beside }, root, depth + 1) : beside;
  }
  const all = schema["allOf"];
  if (Array.isArray(all) && all.length === 1 && isObject(all[0])) {
    const { allOf: __, ...rest } = schema;
    return resolved({ ...resolved(all[0], root, depth + 1), ...rest }, root, depth + 1);
  }
  return schema;
}

/** The fields of an object; null: its schema does not list what is in it. */
export function fieldsOf(schema: Schema, root: Schema = schema, depth = 0): readonly Field[] | null {
  const { properties } = schema;
  if (!isObject(properties)) return null;
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  return Object.entries(properties).map(([name, property]) => fieldOf(name, isObject(property) ? property : {}, required.includes(name), root, depth));
}

function fieldOf(name: string, given: Schema, required: boolean, root: Schema, depth: number): Field {
  let schema = resolved(given, root);
  let nullable = false;
  const choices = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(choices) && choices.some((one) => isObject(one) && one["type"] === "null")) {
    const others = choices.filter((one) => !(isObject(one) && one["type"] === "null"));
    nullable = true;
    const { anyOf: _, oneOf: __, ...beside } = schema;
    schema = others.length === 1 && isObject(others[0]) ? { ...resolved(others[0], root), ...beside } : { ...beside, anyOf: others };
  }
  return {
    name,
    schema,
    title: name,
    description: textOf(schema["description"]),
    required,
    nullable,
    control: controlOf(schema, root, depth),
  };
}

function controlOf(schema: Schema, root: Schema, depth: number): Control {
  const { type, format } = schema;
  if (Array.isArray(schema["enum"])) return { kind: "choice", values: schema["enum"] as JsonValue[] };
  if ("const" in schema) return { kind: "choice", values: [schema["const"] as JsonValue] };
  switch (type) {
    case "string": {
      const maxLength = typeof schema["maxLength"] === "number" ? schema["maxLength"] : undefined;
      const input = INPUT_TYPES[textOf(format)] ?? "text";
      return { kind: "text", type: input, long: format === undefined && !schema["pattern"] && (maxLength ?? Infinity) > 200, maxLength };
    }
    case "integer":
    case "number":
      return { kind: "number", integer: type === "integer" };
    case "boolean":
      return { kind: "boolean" };
    case "array": {
      const item = isObject(schema["items"]) ? resolved(schema["items"], root) : null;
      const one = item && !schema["prefixItems"] ? controlOf(item, root, depth + 1) : null;
      // Lists of what is more than one field are shorter to write than to click together.
      return item && one && ["text", "number", "choice"].includes(one.kind) ? { kind: "list", item } : { kind: "json" };
    }
    case "object": {
      const fields = depth < MAX_DEPTH ? fieldsOf(schema, root, depth + 1) : null;
      return fields && fields.length > 0 ? { kind: "object", fields } : { kind: "json" };
    }
    default:
      return { kind: "json" };
  }
}

/** The field of an entry of a list. */
export function itemField(item: Schema, at: number, root: Schema): Field {
  return fieldOf(String(at + 1), item, true, root, MAX_DEPTH);
}

/** What the fields begin with: the defaults, so that what is seen is what is sent. */
export function defaultsOf(fields: readonly Field[]): Values {
  return Object.fromEntries(fields.flatMap(({ name, schema, control, required }): [string, unknown][] => {
    const value = schema["default"];
    if (value !== undefined && value !== null) return [[name, value]];
    if (control.kind === "object" && required) return [[name, defaultsOf(control.fields)]];
    if (control.kind === "choice" && required && control.values.length === 1) return [[name, control.values[0]]];
    return control.kind === "boolean" && required ? [[name, false]] : [];
  }));
}

/** What is sent: a required field that may be null and was left empty is null, every other empty one is left out. */
export function argsOf(values: Values, fields: readonly Field[]): Record<string, JsonValue> {
  const known = new Map(fields.map((field) => [field.name, field]));
  const args: Record<string, JsonValue> = {};
  // In the order of the fields, whatever was filled in first.
  for (const name of new Set([...known.keys(), ...Object.keys(values)])) {
    const value = values[name];
    const control = known.get(name)?.control;
    if (value !== undefined) args[name] = (control?.kind === "object" && isObject(value) ? argsOf(value, control.fields) : value) as JsonValue;
  }
  for (const { name, required, nullable } of fields) if (required && nullable && args[name] === undefined) args[name] = null;
  return args;
}

/** What is wrong, in words, by the place of the value: `/days`, `/box/width`; empty: nothing is. */
export type Problems = ReadonlyMap<string, string>;

const OF_PARTS = new Set(["properties", "patternProperties", "items", "prefixItems", "anyOf", "allOf", "oneOf", "$ref", "$dynamicRef", "if", "dependentSchemas", "propertyNames"]);
const A: Readonly<Record<string, string>> = { integer: "a whole number", number: "a number", string: "a text", boolean: "yes or no", array: "a list", object: "an object", null: "null" };

export function problemsOf(args: JsonValue, schema: Schema): Problems {
  const found = new Map<string, string>();
  const note = (place: string, words: string) => found.has(place) || found.set(place, words);
  try {
    for (const { keyword, instanceLocation, error } of new Validator(schema as ValidatorSchema, "2020-12", false).validate(args).errors) {
      const place = instanceLocation.replace(/^#/, "");
      const quoted = /"(.*)"/.exec(error)?.[1];
      if (keyword === "required") note(`${place}/${escaped(quoted ?? "")}`, "This is needed.");
      else if (keyword === "additionalProperties") note(place, `${quoted ?? "One of these"} is not something that the task takes.`);
      else if (keyword === "false") continue;
      else if (keyword === "type") note(place, `This must be ${/Expected "(\w+)"/.exec(error)?.[1]?.replace(/^\w+$/, (type) => A[type] ?? type) ?? "of another type"}.`);
      else if (!OF_PARTS.has(keyword)) note(place, error);
    }
  } catch {
    // A schema that the validator does not understand: the task will say what it does not take.
  }
  return found;
}

/** A name as it stands in a place (RFC 6901). */
export const escaped = (name: string) => name.replaceAll("~", "~0").replaceAll("/", "~1");

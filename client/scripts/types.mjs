// Writes src/vocabulary.ts: the documents and events of a stream (vocabulary.json of the gateway) and
// the bodies of requests (its OpenAPI document, on standard input). With --check it writes nothing
// and fails if the file is not what would be written.
// `make client-types` calls it.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../src/vocabulary.ts", import.meta.url);
const VOCABULARY = new URL("../../gateway/stepwire_gateway/public/vocabulary.json", import.meta.url);
const DOCUMENTS = {
  RunDocument: "Run",
  StepDocument: "Step",
  ElementDocument: "StepElement",
  AskDocument: "Ask",
  FeedbackDocument: "Feedback",
  ActionDocument: "Action",
  StepActionDocument: "StepAction",
  AnswerDocument: "Answer",
  Usage: "StepUsage",
};
const REQUESTS = ["NewMessage", "NewRun", "NewAnswer", "NewClick", "NewFeedback", "AcceptedMessage", "AcceptedRun", "AskedFor", "CreatedSession", "NewSession", "NewSubmission", "NewSettings", "ChangedSettings"];
const LISTS = ["SessionEntry", "SessionPage", "RunEntry", "RunEntries", "RunningRun", "WorkerDocument", "Workers", "HandlerCounts", "QueueOverview", "WaitingRun", "WaitingRuns", "TaskEntry", "TaskList", "StarterDocument", "StarterCategoryDocument", "ChatProfileDocument", "StartPage"];

/** The words of these may become more within a version of the protocol. */
const open = (words) => `${words} | (string & {})`;

const nameOf = (ref) => {
  const name = ref.split("/").at(-1);
  return DOCUMENTS[name] ?? name;
};

function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) {
    const words = schema.enum.map((word) => JSON.stringify(word)).join(" | ");
    return schema.type === "string" ? open(words) : words;
  }
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(" | ");
  switch (schema.type) {
    case "array":
      return `readonly ${wrapped(typeOf(schema.items))}[]`;
    case "object":
      return schema.additionalProperties ? `Readonly<Record<string, ${typeOf(schema.additionalProperties)}>>` : "object";
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`);
  }
}

const wrapped = (type) => (type.includes("|") ? `(${type})` : type);

function comment(text, indent = "") {
  if (!text) return "";
  const words = text.replaceAll("``", "`").replace(/\s+/g, " ").replaceAll("*/", "* /").trim();
  return `${indent}/** ${words} */\n`;
}

function interfaceOf(name, schema) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([field, property]) => {
    const optional = required.has(field) ? "" : "?";
    const type = typeOf(property) + (optional ? " | undefined" : "");
    return `${comment(property.description, "  ")}  readonly ${field}${optional}: ${type};\n`;
  });
  return `${comment(schema.description)}export interface ${name} {\n${fields.join("")}}\n`;
}

function written(vocabulary, openapi) {
  const { JsonValue: _, ...documents } = vocabulary.$defs;
  const schemas = openapi.components.schemas;
  const kinds = Object.entries(vocabulary.kinds).map(([name, { list, id, parent, removing }]) => ({ name, list, id, parent: parent ?? undefined, removing: removing ?? undefined }));
  const effects = Object.entries(vocabulary.events);
  const strange = effects.filter(([type, { kind }]) => kind && type.split(".")[0] !== kind);
  if (strange.length > 0) throw new Error(`the type of an event begins with its kind: ${strange}`);
  return [
    "// Made by scripts/types.mjs from the gateway's vocabulary.json and OpenAPI document: do not edit it.\n",
    "export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };\n",
    ...Object.entries(documents).map(([name, schema]) => interfaceOf(DOCUMENTS[name] ?? name, schema)),
    ...[...REQUESTS, ...LISTS].map((name) => interfaceOf(name, schemas[name])),
    "/** The data of each event that this version knows, by the event's type. */",
    `export interface EventData {\n${effects.map(([type, { description, data }]) => `${comment(description, "  ")}  "${type}": ${nameOf(data.$ref)};\n`).join("")}}\n`,
    "/** The kinds of documents, in the order of a snapshot. */",
    `export const KINDS = [\n${kinds.map((kind) => `  ${JSON.stringify(kind)},\n`).join("")}] as const;\n`,
    "/** What each event does to the documents of its kind, which is the first word of its type. */",
    `export const EVENTS = {\n${effects.map(([type, { effect }]) => `  "${type}": ${JSON.stringify(effect)},\n`).join("")}} as const;\n`,
  ].join("\n");
}

const vocabulary = JSON.parse(readFileSync(VOCABULARY, "utf8"));
const text = written(vocabulary, JSON.parse(readFileSync(0, "utf8")));
if (!process.argv.includes("--check")) {
  writeFileSync(FILE, text);
} else if (readFileSync(FILE, "utf8") !== text) {
  console.error("src/vocabulary.ts is not current: run `make client-types`");
  process.exit(1);
}

// Writes docs/reference/client.md: all that the package exports, as TypeScript has it (the declarations in dist/).
// With --check it writes nothing and fails if the file is not what would be written. `make client-api` calls it.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../../docs/reference/client.md", import.meta.url);
const MOST_CHARACTERS = 120;
const PARTS = {
  "The gateway": ["client", "http", "tokens", "errors"],
  "A session": ["session", "upload", "ids"],
  "The store": ["store", "rows", "attempts", "used", "usage", "fold", "documents", "notifier"],
  Transports: ["stream", "shared-worker-client", "event-source"],
  "Documents, events and requests": ["vocabulary"],
};

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

/** For each module, the names that the package exports of it; null: all. */
function exportsOf(index) {
  const found = new Map();
  for (const [, names, module] of index.matchAll(/^export (?:type )?(\{[^}]*\}|\*) from "\.\/(.+)\.js";$/gm)) {
    const more = names === "*" ? null : names.slice(1, -1).split(",").map((name) => name.trim().replace(/^type /, ""));
    found.set(module, more && [...(found.get(module) ?? []), ...more]);
  }
  return found;
}

/** The declarations of a module, each with its comment. */
function declarationsOf(module) {
  const text = read(`../dist/${module}.d.ts`)
    .replace(/^import [\s\S]*?;\n/gm, "")
    .replace(/^\/\/.*$/gm, "")
    .replace(/^export \{\};\n/gm, "")
    .replace(/^ *#private;\n/gm, "")
    .replace(/^ *\/\*\* @internal \*\/\n(?:.*\n)/gm, "");
  return text.split(/^(?=\/\*\*|(?<!\*\/\n)(?:export|declare|type|interface) )/m).filter((piece) => piece.trim());
}

const nameOf = (declaration) => /^(?:export )?(?:declare )?(?:abstract )?(?:class|function|const|interface|type) (\w+)/m.exec(declaration)?.[1];

/** The same in lines that can be read side by side. */
function wrapped(line) {
  const isComment = /^ *(\/\*)?\*/.test(line);
  const marks = isComment ? [" "] : [", ", " | "];
  const indent = /^ */.exec(line)[0] + (isComment ? (line.trimStart().startsWith("/") ? " * " : "* ") : "    ");
  const lines = [];
  let rest = line.trimEnd();
  while (rest.length > MOST_CHARACTERS) {
    const at = Math.max(...marks.map((mark) => rest.lastIndexOf(mark, MOST_CHARACTERS - 2) + (mark === ", " ? 1 : 0)));
    lines.push(rest.slice(0, at).trimEnd());
    rest = indent + rest.slice(at).trimStart();
  }
  return [...lines, rest];
}

function blockOf(modules, exported) {
  const pieces = modules.flatMap((module) => {
    const names = exported.get(module);
    return declarationsOf(module).filter((piece) => /^export /m.test(piece) && (names ? names.includes(nameOf(piece)) : !/^export declare const/m.test(piece)));
  });
  const lines = pieces.flatMap((piece) => [...piece.trim().replace(/^export (declare )?/m, "").split("\n").flatMap(wrapped), ""]);
  return ["```ts", ...lines.slice(0, -1), "```"];
}

function page() {
  const exported = exportsOf(read("../src/index.ts"));
  const told = new Set(Object.values(PARTS).flat());
  const untold = [...exported.keys()].filter((module) => !told.has(module));
  if (untold.length > 0) throw new Error(`${untold} is in no part of the page: see PARTS`);
  return [
    "# The TypeScript client, name by name",
    "",
    "All that the npm package `stepwire` exports.",
    "[Clients](../clients.md) says what it is for.",
    "This page is made from the declarations of `client/src` by `make client-api`.",
    "",
    ...Object.entries(PARTS).flatMap(([title, modules]) => [`## ${title}`, "", ...blockOf(modules, exported), ""]),
    ...["choices", "lists", "react"].flatMap((path) => [`## stepwire/${path}`, "", ...blockOf([path], new Map([[path, null]])), ""]),
  ].join("\n");
}

const text = page();
if (!process.argv.includes("--check")) {
  writeFileSync(FILE, text);
} else if (readFileSync(FILE, "utf8") !== text) {
  console.error("docs/reference/client.md is not current: run `make client-api`");
  process.exit(1);
}

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMIT_BYTES = 9_500;
const folder = new URL("..", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));

/** What a page loads for this import, minified. */
function bundle(contents) {
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: folder }, bundle: true, minify: true, format: "esm", write: false, external: ["react"], legalComments: "none", logLevel: "error",
  });
  return outputFiles[0].contents;
}

test("a page's whole client without React is under 9.5 kB gzipped", (t) => {
  const size = (names) => gzipSync(bundle(`export ${names} from "./dist/index.js"`), { level: 9 }).length;
  t.diagnostic(`the fold ${size("{ fold }")} bytes, the store ${size("{ Store }")}, all that is optional too ${size("*")}`);
  const whole = size("{ Stepwire }");
  assert.ok(whole < LIMIT_BYTES, `${whole} bytes`);
  t.diagnostic(`the client ${whole} bytes`);
});

test("what a page does not use is not in its bundle", () => {
  const text = (contents) => new TextDecoder().decode(bundle(contents));
  assert.equal(text(`import "./dist/index.js"`), "");
  assert.doesNotMatch(text(`export { fold } from "./dist/index.js"`), /fetch|EventSource|subscribe/);
});

test("the package has no dependencies, and its lock names no registry", () => {
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(Object.keys(manifest.peerDependenciesMeta), Object.keys(manifest.peerDependencies));
  const lock = readFileSync(`${folder}package-lock.json`, "utf8");
  assert.doesNotMatch(lock, /"resolved"/);
  assert.doesNotMatch(lock, /registry/);
});

test("the codes of errors are those of the protocol", () => {
  const protocol = readFileSync(`${folder}../docs/protocol.md`, "utf8").split("## Errors")[1];
  const told = [...protocol.matchAll(/<a id="(\w+)"><\/a>/g)].map(([, code]) => code);
  const known = readFileSync(`${folder}src/errors.ts`, "utf8").match(/export type ErrorCode =([^;]+);/)[1];
  const codes = [...known.matchAll(/"(\w+)"/g)].map(([, code]) => code);
  const own = ["no_answer", "unreachable", "aborted", "no_token", "bad_answer"];
  assert.deepEqual(codes.sort(), [...told, ...own].sort());
});

test("the code in docs/clients.md has the types that it needs", () => {
  const guide = readFileSync(`${folder}../docs/clients.md`, "utf8");
  const pieces = [...guide.matchAll(/^```tsx?\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
  assert.ok(pieces.length >= 2);
  const given = `import type { Row, Stepwire as Client } from "stepwire";\ndeclare function render(rows: readonly Row[]): void;\n`;
  mkdirSync(`${folder}build/docs`, { recursive: true });
  const files = pieces.map((code, at) => {
    const file = `${folder}build/docs/piece-${at}.tsx`;
    writeFileSync(file, /Stepwire\(/.test(code) ? given + code : given.replace("Stepwire as Client", "Stepwire") + code);
    return file;
  });
  const options = "--ignoreConfig --noEmit --strict --jsx react-jsx --module nodenext --target es2022 --types react --lib es2023,dom,dom.iterable";
  const { status, stdout } = spawnSync(`${folder}node_modules/.bin/tsc`, [...options.split(" "), ...files], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

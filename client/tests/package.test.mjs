import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMIT_BYTES = 8 * 1000;
const folder = new URL("..", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));

/** What a page loads for this import, minified. */
function bundle(contents) {
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: folder }, bundle: true, minify: true, format: "esm", write: false, external: ["react"], legalComments: "none", logLevel: "error",
  });
  return outputFiles[0].contents;
}

test("everything but React is under 8 kB gzipped", (t) => {
  const size = gzipSync(bundle(`export * from "./dist/index.js"`), { level: 9 }).length;
  t.diagnostic(`${size} bytes gzipped; the fold alone ${gzipSync(bundle(`export { fold } from "./dist/index.js"`), { level: 9 }).length}`);
  assert.ok(size < LIMIT_BYTES, `${size} bytes`);
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

// The hooks with each React that they are for: the same tests (react/hooks.mjs), bundled with either.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";
import { buildSync } from "esbuild";

const folder = new URL("..", import.meta.url).pathname;
mkdirSync(`${folder}build`, { recursive: true });
const out = mkdtempSync(`${folder}build/react-`);
after(() => rmSync(out, { recursive: true }));

// React's `act` leaves a channel open for good, which would keep this process alive.
globalThis.MessageChannel = class {
  port1 = { onmessage: null };
  port2 = { postMessage: (data) => void setImmediate(() => this.port1.onmessage({ data })) };
};

for (const [major, alias] of [[19, {}], [18, { react: "react-18", "react-dom": "react-dom-18" }]]) {
  const outfile = `${out}/react-${major}.cjs`;
  buildSync({
    entryPoints: [`${folder}tests/react/hooks.mjs`], outfile, alias, bundle: true, platform: "node", format: "cjs", external: ["happy-dom"],
    define: { REACT_MAJOR: String(major) }, logLevel: "error",
  });
  createRequire(import.meta.url)(outfile);
}

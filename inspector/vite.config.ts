import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const client = (file: string) => fileURLToPath(new URL(`../client/src/${file}`, import.meta.url));

/** Where `make inspector` finds the gateway that answers what the page asks. */
const GATEWAY = process.env["STEPWIRE_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), compressed()],
  resolve: {
    alias: [
      { find: /^stepwire$/, replacement: client("index.ts") },
      { find: /^stepwire\/(choices|lists|react)$/, replacement: client("$1.ts") },
      { find: "stepwire/shared-worker.js", replacement: client("shared-worker.ts") },
    ],
    // The client lies outside of this folder, where another React may be installed.
    dedupe: ["react", "react-dom"],
  },
  build: {
    target: "es2023",
    cssTarget: "chrome123",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
    chunkSizeWarningLimit: 5000,
  },
  experimental: {
    // The page is at the gateway's root, which may be below a path of its site; its files are in inspector/.
    renderBuiltUrl: (file, { hostType }) => (hostType === "html" ? `inspector/${file}` : { relative: true }),
  },
  worker: { format: "es" },
  server: {
    port: 5173,
    proxy: { "/v1": { target: GATEWAY, changeOrigin: true }, "/openapi.json": { target: GATEWAY, changeOrigin: true } },
  },
});

/** Writes each file in the forms that browsers can unpack, so that no gateway compresses anything. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    async writeBundle({ dir }) {
      const files = await readdir(dir!, { recursive: true });
      await Promise.all(files.filter((name) => /\.(html|js|css|svg|json)$/.test(name)).map((name) => compress(join(dir!, name))));
    },
  };
}

async function compress(file: string): Promise<void> {
  const bytes = await readFile(file);
  // The best costs ten times the time for megabytes, and saves a tenth.
  const quality = bytes.length > 1_000_000 ? 9 : constants.BROTLI_MAX_QUALITY;
  const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }));
  await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes, { params }));
}

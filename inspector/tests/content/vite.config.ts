/** What shows content, as a page of its own: tests give it the documents of a session. */
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const client = (file: string) => fileURLToPath(new URL(`../../../client/src/${file}`, import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  plugins: [react()],
  resolve: {
    alias: [
      { find: /^stepwire$/, replacement: client("index.ts") },
      { find: /^stepwire\/(lists|react)$/, replacement: client("$1.ts") },
      { find: "axe-core", replacement: fileURLToPath(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url)) },
    ],
    dedupe: ["react", "react-dom"],
  },
  build: { outDir: "../../build/content", emptyOutDir: true, target: "es2023", minify: false, assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 9000 },
});

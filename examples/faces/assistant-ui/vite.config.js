import { defineConfig } from "vite";

// The client comes as its sources, so that it need not be built.
const client = (module) => new URL(`../../../client/src/${module}.ts`, import.meta.url).pathname;

export default defineConfig({
  base: "./",
  build: { outDir: "build/pages", target: "es2022", rolldownOptions: { input: ["sdk.html", "store.html"] }, chunkSizeWarningLimit: 3000 },
  resolve: {
    alias: [
      { find: "stepwire/react", replacement: client("react") },
      { find: "stepwire/lists", replacement: client("lists") },
      { find: /^stepwire$/, replacement: client("index") },
      { find: /^react$/, replacement: new URL("./node_modules/react", import.meta.url).pathname },
    ],
  },
});

import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: { outDir: "build/pages", target: "es2022", chunkSizeWarningLimit: 20000 },
});

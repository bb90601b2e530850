import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: { outDir: "build/pages", target: "es2022", rolldownOptions: { input: ["react.html", "vue.html"] }, chunkSizeWarningLimit: 2000 },
  define: { __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
  resolve: { alias: { vue: "vue/dist/vue.esm-bundler.js" } },
});

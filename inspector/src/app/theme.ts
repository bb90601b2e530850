import { useState } from "react";
import { kept } from "./root";

const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const store = kept("theme");

function now(): Theme {
  const theme = store.get();
  return THEMES.find((known) => known === theme) ?? "auto";
}

/** Call once, before anything is shown. */
export function applyTheme(theme = now()): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** The theme, and a function that goes to the next one. */
export function useTheme(): [Theme, () => void] {
  const [theme, set] = useState(now);
  return [
    theme,
    () => {
      const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
      store.set(next === "auto" ? null : next);
      applyTheme(next);
      set(next);
    },
  ];
}

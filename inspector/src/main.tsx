import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./design/tokens.css";
import "./design/base.css";
import "./app/app.css";
import { App } from "./app/App";
import { Fault } from "./app/Fault";
import { applyTheme } from "./app/theme";
import { takeToken } from "./app/token";

takeToken();
applyTheme();
createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <Fault what="anything"><App /></Fault>
  </StrictMode>,
);

import type { ErrorInfo } from "stepwire";
import { CopyButton } from "../content";

/** What went wrong, with the traceback if the gateway gives it to clients. */
export function ErrorText({ error }: { readonly error: ErrorInfo }) {
  const { type, message, traceback } = error as ErrorInfo & { readonly traceback?: unknown };
  return (
    <section className="error-text" aria-label="Error">
      <h3>{type} <CopyButton text={() => [`${type}: ${message}`, traceback].filter(Boolean).join("\n")} what="error" /></h3>
      <pre dir="auto" tabIndex={0}>{message}</pre>
      {typeof traceback === "string" && traceback !== "" && (
        <details open>
          <summary>Traceback</summary>
          <pre className="traceback" dir="ltr" tabIndex={0}>{traceback}</pre>
        </details>
      )}
    </section>
  );
}

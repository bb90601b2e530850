/** The parts of content, for a session whose events a test gives. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Stepwire, type StreamEvent } from "stepwire";
import { SessionProvider, useChildren, useStep } from "stepwire/react";
import { Content, ElementPanel, Elements, Progress, Usage } from "../../src/content";
import "../../src/design/tokens.css";
import "../../src/design/base.css";

declare global {
  interface Window {
    take: (events: StreamEvent[]) => void;
    axe: unknown;
    violations: string[];
    longest: number;
  }
}

window.violations = [];
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => window.violations.push(`${effectiveDirective} ${blockedURI}`));

// How long the page has not answered, at the most.
window.longest = 0;
let last = performance.now();
setInterval(() => {
  window.longest = Math.max(window.longest, performance.now() - last);
  last = performance.now();
}, 10);

const client = new Stepwire({ baseUrl: location.origin, getToken: () => "a-token" });
// What a test gives is there when it looks: nothing waits for a frame.
const session = client.session("s", { schedule: (flush) => queueMicrotask(flush) });
window.take = (events) => events.forEach((event) => session.store.take(event));

function Steps() {
  return useChildren(null).map(({ id }) => <Step key={id} id={id} />);
}

function Step({ id }: { readonly id: string }) {
  const step = useStep(id);
  if (!step) return null;
  const isRunning = step.status === "running";
  return (
    <article id={id}>
      <Usage stepId={id} />
      {step.progress && isRunning && <Progress progress={step.progress} />}
      {step.input && <Content text={step.input} language={typeof step.show_input === "string" ? step.show_input : null} what="input" place={`${id}:input`} />}
      <Content text={step.output} language={step.language} message={step.type.endsWith("_message")} streaming={isRunning} what="output" place={`${id}:output`} />
      <Elements stepId={id} />
      {useChildren(id).map((child) => <Step key={child.id} id={child.id} />)}
    </article>
  );
}

createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <SessionProvider session={session}>
      <main><h1 className="visually-hidden">Content</h1><h2 className="visually-hidden">Steps</h2><Steps /></main>
      <ElementPanel />
    </SessionProvider>
  </StrictMode>,
);
// An element's address carries the token that the first request has fetched.
void session.elementBlob("none").catch(() => {});

// Runs before the page's own scripts: notes everything that a reader gets to see, as it changes.
(() => {
  const OUTPUT = [
    ":scope > .step-body > .field > .step-output",
    ":scope > .message-card > .step-body > .field > .step-output",
  ].join(", ");
  const TIME = ":scope > .step-toggle > .step-time, :scope > .message-card > .message-head > .step-time";
  const NAME = ":scope > .step-toggle > .step-name, :scope > .message-card > .message-head > .step-name";
  const text = (element, selector) => element.querySelector(selector)?.textContent ?? "";
  const above = (element) => element.parentElement.closest("[data-step-id]")?.dataset.stepId ?? null;

  /** The steps that are on the page, from top to bottom. */
  const steps = () => [...document.querySelectorAll("[data-step-id]")].map((element) => ({
    id: element.dataset.stepId,
    parent: above(element),
    type: element.dataset.type,
    status: element.dataset.status,
    name: text(element, NAME),
    output: text(element, OUTPUT),
    time: text(element, TIME),
  }));
  const runs = () => [...document.querySelectorAll("[data-run-id]")].map((element) => ({
    id: element.dataset.runId,
    message: above(element),
    handler: text(element, ".run-handler"),
    status: element.dataset.status,
  }));

  const recorded = { steps, runs, seen: [], connections: [], streams: 0, snapshots: 0 };
  globalThis.recorded = recorded;

  new MutationObserver(() => {
    recorded.seen.push(steps());
    const connection = document.querySelector("#status")?.dataset.connection;
    if (connection && recorded.connections.at(-1) !== connection) recorded.connections.push(connection);
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });

  globalThis.EventSource = class extends EventSource {
    constructor(...given) {
      super(...given);
      recorded.streams += 1;
      this.addEventListener("snapshot", () => { recorded.snapshots += 1; });
    }
  };
})();

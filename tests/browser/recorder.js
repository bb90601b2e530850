// Runs before the page's own scripts: notes everything that a reader gets to see, as it changes.
(() => {
  const text = (element, selector) => element.querySelector(selector)?.textContent ?? "";

  /** The steps that are in the window of the list, from top to bottom. */
  const steps = () => [...document.querySelectorAll("[role=treeitem] [data-step-id]")].map((element) => ({
    id: element.dataset.stepId,
    parent: element.dataset.parent ?? null,
    level: Number(element.closest("[role=treeitem]").ariaLevel),
    type: element.dataset.type,
    status: element.dataset.status,
    name: text(element, ".line-name"),
    // A structure is shown as a tree, whose text is another.
    output: text(element, ":scope > .body > [data-field=output] > .content:not([data-form=json]) > .content-shown"),
    time: text(element, ".line-time"),
  }));
  const runs = () => [...document.querySelectorAll("[role=treeitem] [data-run-id]")].map((element) => ({
    id: element.dataset.runId,
    message: element.dataset.message ?? null,
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

  globalThis.SharedWorker = class extends SharedWorker {
    constructor(...given) {
      super(...given);
      recorded.streams += 1;
      this.port.addEventListener("message", ({ data }) => {
        recorded.snapshots += (data.events ?? []).filter(({ type }) => type === "snapshot").length;
      });
    }
  };
})();

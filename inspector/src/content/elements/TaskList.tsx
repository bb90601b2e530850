import type { StepElement } from "stepwire";
import { Icon, type IconName } from "../../design/Icon";
import { nameOf } from "./names";

const ICONS: Readonly<Record<string, IconName>> = { ready: "clock", running: "running", failed: "error", done: "ok" };
const STATUS: Readonly<Record<string, string>> = { running: "running", failed: "error", done: "ok" };

/** A list of tasks, as its handler tells it. */
export function TaskList({ element }: { readonly element: StepElement }) {
  const { status, tasks } = (element.props ?? {}) as { status?: unknown; tasks?: unknown };
  const lines = Array.isArray(tasks) ? tasks : [];
  const done = lines.filter((task) => wordOf(task?.status) === "done").length;
  return (
    <section className="task-list" aria-label={nameOf(element)}>
      <p className="task-list-head">
        <span dir="auto">{wordOf(status) || "Tasks"}</span>
        {lines.length > 0 && <span className="hint">{done} of {lines.length}</span>}
      </p>
      <ol>
        {lines.map((task, at) => {
          const word = wordOf(task?.status);
          return (
            <li key={at} data-status={STATUS[word]}>
              <Icon name={ICONS[word] ?? "undefined"} turning={word === "running"} />
              <span dir="auto">{wordOf(task?.title) || "(no title)"}</span>
              <span className="visually-hidden"> ({word || "no status"})</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function wordOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

"""The documents of a snapshot, kept until all of them have been retold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwire_core.wire.words import USER_MESSAGE

if TYPE_CHECKING:
    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import Document
    from stepwire_gateway.faces.events import FaceEvent


class Retelling:
    """The documents of a snapshot, as far as a stream shows them."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        """None: it is empty."""
        self.runs: dict[str, Document] = {}
        self.steps: dict[str, Document] = {}
        self.elements: dict[str, Document] = {}
        self.asks: dict[str, Document] = {}
        self.order: list[tuple[str, str]] = []
        """Steps, and elements that stand with one, as they have begun: ``steps`` or ``elements``,
        and the id."""

    def take(self, event: FaceEvent) -> None:
        self.cursor = event.cursor
        match event.type:
            case "run.start" | "run.end":
                self.runs[event.data["run_id"]] = event.data
            case "step.start":
                self.steps[event.data["id"]] = event.data
                self.order.append(("steps", event.data["id"]))
                early = [e for e in self.elements.values() if e["step_id"] == event.data["id"]]
                self.order += [("elements", element["id"]) for element in early]
            case "element.add":
                self.elements[event.data["id"]] = event.data
                if event.data["step_id"] in self.steps:
                    self.order.append(("elements", event.data["id"]))
            case "ask" | "ask.end":
                self.asks[event.data["id"]] = event.data

    def under_way(self) -> set[str]:
        """The runs that are not over, and those that messages wait for."""
        waiting = {
            step["run_id"]
            for step in self.steps.values()
            if step["type"] == USER_MESSAGE
            and step["attempt"] == 0
            and step["run_id"] is not None
            and step["run_id"] not in self.runs
        }
        return waiting | {run_id for run_id, run in self.runs.items() if not is_over(run)}

    def last_run(self) -> Document | None:
        """The one that ended last."""
        over = [run for run in self.runs.values() if is_over(run)]
        return max(over, key=lambda run: str(run["ended_at"]), default=None)

    def repeated(self) -> set[str]:
        """The runs in whose place others have been done, with those that they had started."""
        found = {str(run["retry_of"]) for run in self.runs.values() if run.get("retry_of")}
        for run in self.runs.values():
            if run["parent_run_id"] in found:
                found.add(run["run_id"])
        return found

    def files_of(self, step_id: str) -> list[Document]:
        return [element for element in self.elements.values() if element["step_id"] == step_id]


def is_over(run: dict[str, Any]) -> bool:
    """Whether no attempt of it will begin any more."""
    return run["ended_at"] is not None and not run["will_retry"]

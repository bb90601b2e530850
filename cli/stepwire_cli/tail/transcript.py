"""A session as plain lines, in the order of what happens: for pipes and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire.client import RunNode, SessionTree, StepNode
from stepwire_cli.printable import duration, one_line, printable, used
from stepwire_cli.tail.step_details import DEFAULT_URL, Belongings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from stepwire.client import Event
    from stepwire_core.wire.documents import ErrorInfo, Usage, UsageSum

MARKS: Final = {"running": "▸", "ok": "✓", "error": "✗", "cancelled": "⊘", "interrupted": "!"}
INDENT: Final = "  "


class Transcript:
    """Writes a line when a step or run starts, and one with the complete text when it ends."""

    def __init__(
        self,
        tree: SessionTree,
        write: Callable[[str], object],
        url: str = DEFAULT_URL,
        *,
        tracebacks: bool = False,
    ) -> None:
        self._tree = tree
        self._belongings = Belongings(tree, url)
        self._write = write
        self._told: dict[str, object] = {}
        self._in_trouble = False
        self._tracebacks = tracebacks
        self._waits: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def apply(self, event: Event) -> None:
        self._in_trouble = False
        unread = self._tree.unread.total()
        nodes = self._tree.apply(event)
        if left_out := self._tree.unread.total() - unread:
            self._write(
                f"… left out: {left_out} of what came as {one_line(event.type)!r}, which this "
                "version of stepwire cannot read"
            )
        for node in nodes:
            if isinstance(node, RunNode):
                self._run(node)
            elif node.document.id not in self._tree.steps:
                self._removed(node)
            elif node.document.status == "running":
                self._step_runs(node)
            else:
                self._step_ended(node)
                self._belongings_of(node)

    def trouble(self, what: str | None) -> None:
        if what and not self._in_trouble:
            self._write(f"… {what}")
            self._in_trouble = True

    def waits(self, what: str | None) -> None:
        if what and what != self._waits:
            self._write(f"… {what}")
        self._waits = what

    def _run(self, node: RunNode) -> None:
        run = node.document
        if not self._is_news(f"run {run.run_id}", (run.attempt, run.status)):
            return
        head = f"{_mark(run.status)} {one_line(run.handler)}"
        if run.attempt > 1:
            head += f" (attempt {run.attempt})"
        if run.ended_at:
            head += f" {duration(run.started_at, run.ended_at, 0)}{_used(run.usage)}"
        self._write(head + _error(run.error))
        self._traceback(run.error, INDENT)
        if run.will_retry:
            self._write(f"{INDENT}it will be tried again")

    def _step_runs(self, node: StepNode) -> None:
        # A message is told when it is complete; both of these once, whatever comes in between.
        if not node.is_message and self._is_news(node.document.id, "running"):
            self._write(f"{self._head(node)} …")
        if not node.is_message:
            self._belongings_of(node)

    def _step_ended(self, node: StepNode) -> None:
        step = node.document
        if not self._is_news(step.id, (step.status, node.text("output"))):
            return
        if node.is_message and step.status == "ok":
            head = f"{self._indent(node)}{one_line(step.name)}:"
        else:
            took = duration(step.started_at, step.ended_at, 0)
            kept = f" (result of attempt {step.from_attempt})" if step.from_attempt else ""
            head = f"{self._head(node)} {took}{kept}{_used(step.usage)}{_error(step.error)}"
        self._write(head)
        if step.show_input:
            self._text(node, node.text("input"), "> ")
        self._text(node, node.text("output"), "")
        self._traceback(step.error, self._indent(node) + INDENT)

    def _traceback(self, error: ErrorInfo | None, indent: str) -> None:
        if self._tracebacks and error is not None and error.traceback:
            for line in printable(error.traceback).splitlines():
                self._write(f"{indent}{line}".rstrip())

    def _belongings_of(self, node: StepNode) -> None:
        indent = self._indent(node) + INDENT
        for item in self._belongings.of(node):
            if self._is_news(item.key, item.state):
                self._write(f"{indent}{item.mark} {item.text}")
        if node.feedback is None and self._told.pop(f"feedback {node.document.id}", None):
            self._write(f"{indent}feedback taken back")

    def _removed(self, node: StepNode) -> None:
        if self._told.pop(node.document.id, None) is not None:
            self._write(f"- {one_line(node.document.name)} removed")

    def _is_news(self, key: str, state: object) -> bool:
        if self._told.get(key) == state:
            return False
        self._told[key] = state
        return True

    def _head(self, node: StepNode) -> str:
        step = node.document
        kind = "" if step.type in ("undefined", step.name) else f" ({one_line(step.type)})"
        tags = "".join(f" #{one_line(tag)}" for tag in step.tags)
        return f"{self._indent(node)}{_mark(step.status)} {one_line(step.name)}{kind}{tags}"

    def _text(self, node: StepNode, text: str, mark: str) -> None:
        indent = self._indent(node) + INDENT
        for line in printable(text).rstrip().splitlines():
            self._write(f"{indent}{mark}{line}".rstrip())

    def _indent(self, node: StepNode) -> str:
        depth, seen, at = 0, set(), self._tree.parent_of(node)
        while at is not None and at.document.id not in seen:
            seen.add(at.document.id)
            depth, at = depth + 1, self._tree.parent_of(at)
        return INDENT * depth


def _mark(status: str) -> str:
    # A newer version's word is shown as it is.
    return MARKS.get(status) or f"? {one_line(status)}"


def _used(usage: Usage | UsageSum | None) -> str:
    words = used(usage)
    return f" ({words})" if words else ""


def _error(error: ErrorInfo | None) -> str:
    return "" if error is None else f" {one_line(error.type)}: {one_line(error.message)}"

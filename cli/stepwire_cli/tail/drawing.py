"""The tree as lines of a terminal, each no wider than it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.syntax import Syntax
from rich.text import Text

from stepwire.client import Node, Row, RunNode, SessionTree, StepNode
from stepwire_cli.printable import bar, duration, one_line, printable, used
from stepwire_cli.tail.step_details import DEFAULT_URL, Belongings
from stepwire_core.wire.documents import ErrorInfo, RunDocument
from stepwire_core.wire.words import USER_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

STILL: Final = "◌"
"""What runs, in a picture that does not move."""

MARKS: Final = {
    "ok": ("✓", "green"),
    "error": ("✗", "bold red"),
    "cancelled": ("⊘", "yellow"),
    "interrupted": ("!", "bold yellow"),
}
TYPE_STYLES: Final = {
    "run": "blue",
    "tool": "cyan",
    "llm": "magenta",
    "embedding": "yellow",
    "retrieval": "green",
    "rerank": "bright_blue",
}
USER_STYLE: Final = "bold bright_cyan"
ASSISTANT_STYLE: Final = "bold bright_green"

STREAM_LINES: Final = 6
"""So many of the last lines of a text that is streaming."""
FOLDED_LINES: Final = 6
"""So many of the first lines of a text that is complete, while others still stream."""
MIN_TEXT_WIDTH: Final = 24
"""Deeper branches than leave this much are drawn without their outer lines."""
MAX_HIGHLIGHTED: Final = 20_000

_JSON_BREAK: Final = re.compile(r"\n\s*")


class Drawing:
    """Draws a tree at one instant, ``now_s`` on the server's clock; ``spinner`` marks what runs;
    ``url`` is the gateway's.

    With ``fold``, texts are cut to what fits a screen of that many lines; without, all is drawn.
    """

    def __init__(
        self,
        tree: SessionTree,
        console: Console,
        *,
        now_s: float,
        spinner: str = STILL,
        fold: int | None = None,
        url: str = DEFAULT_URL,
        tracebacks: bool = False,
    ) -> None:
        self._tree = tree
        self._tracebacks = tracebacks
        self._belongings = Belongings(tree, url)
        self._console = console
        # Terminals disagree on what happens after the last column.
        self._width = max(console.width - 1, MIN_TEXT_WIDTH)
        self._now_s = now_s
        self._fold = fold
        self._spinner = spinner

    def lines(self) -> list[Text]:
        """The whole tree."""
        return [line for row in self._tree.rows() for line in self._block(row)]

    def latest_lines(self, height: int) -> list[Text]:
        """What happens now, and as much around it as there is room for."""
        rows = self._tree.rows()
        first = end = self._end_of_open(rows)
        lines: list[tuple[Row, Text]] = []
        while first and len(lines) <= height:
            first -= 1
            lines[:0] = [(rows[first], line) for line in self._block(rows[first])]
        if len(lines) > height:
            shown = lines[len(lines) - height + 1 :]
            hidden, top = lines[len(lines) - height][0], shown[0][0]
            # Without its head, a text would seem to belong to the step above.
            path = self._path(top if hidden is top else top.parent)
            return [path, *(line for _, line in shown)]
        for row in rows[end:]:
            lines += [(row, line) for line in self._block(row)]
            if len(lines) > height:
                return [*(line for _, line in lines[: height - 1]), Text("⋮", "dim")]
        return [line for _, line in lines]

    def _end_of_open(self, rows: Sequence[Row]) -> int:
        """Where the last tree ends that has something open: others that are over may follow."""
        for at in reversed(range(len(rows))):
            if self._is_open(rows[at].node):
                after = range(at + 1, len(rows))
                return next((end for end in after if rows[end].parent is None), len(rows))
        return len(rows)

    def _path(self, row: Row | None) -> Text:
        names = []
        while row is not None:
            names.append(one_line(_name(row.node)))
            row = row.parent
        return self._cut(Text(" → ".join(["⋮", *reversed(names)]), "dim"), self._width)

    def _is_open(self, node: Node) -> bool:
        if isinstance(node, RunNode):
            return node.is_open
        run = self._tree.run_of(node)
        return node.document.status == "running" or (
            run.is_open if run else self._tree.awaits_run(node)
        )

    # -- one node -------------------------------------------------------------------------------

    def _block(self, row: Row) -> list[Text]:
        above, beside, below = _guides(row, self._width - MIN_TEXT_WIDTH)
        width = self._width - len(below)
        node = row.node
        if isinstance(node, StepNode):
            head, body = self._step_head(node), self._step_body(node, width)
        else:
            head, body = self._run_head(node.document), self._error(node.document.error, width)
        lines = [self._cut(_styled(beside, "dim").append_text(head), self._width)]
        lines += [_styled(below, "dim").append_text(line) for line in body]
        return [Text(above, "dim"), *lines] if _is_apart(row, self._tree) else lines

    def _step_head(self, step: StepNode) -> Text:
        document = step.document
        if step.is_message:
            return self._message_head(step)
        style = TYPE_STYLES.get(document.type, "")
        head = self._mark(document.status)
        head.append(one_line(document.name), f"bold {style}")
        if document.type not in ("undefined", document.name):
            head.append(f"  {one_line(document.type)}", "dim")
        took = duration(document.started_at, document.ended_at, self._now_s)
        head.append(f"  {took}", "dim" if document.ended_at else "")
        if document.from_attempt:
            head.append(f"  result of attempt {document.from_attempt}", "dim cyan")
        if words := used(document.usage):
            head.append(f"  {words}", "dim")
        for tag in document.tags:
            head.append(f"  #{one_line(tag)}", "dim cyan")
        return head

    def _message_head(self, step: StepNode) -> Text:
        document = step.document
        is_user = document.type == USER_MESSAGE
        style = USER_STYLE if is_user else ASSISTANT_STYLE
        head = (
            _styled("▶ " if is_user else "◆ ", style)
            if document.status == "ok"
            else self._mark(document.status)
        )
        head.append(one_line(document.name), style)
        if run := self._tree.run_of(step):
            head.append("  ").append_text(self._run_head(run.document))
        elif self._tree.awaits_run(step):
            head.append(f"  {self._spinner} waiting for a worker", "yellow")
        for tag in document.tags:
            head.append(f"  #{one_line(tag)}", "dim cyan")
        return head

    def _run_head(self, run: RunDocument) -> Text:
        head = self._mark(run.status)
        head.append(one_line(run.handler), "" if run.status == "running" else "dim")
        head.append(f"  {duration(run.started_at, run.ended_at, self._now_s)}", "dim")
        if run.attempt > 1:
            head.append(f"  attempt {run.attempt}", "yellow")
        if words := used(run.usage):
            head.append(f"  {words}", "dim")
        if run.will_retry:
            head.append("  will be tried again", "yellow")
        return head

    def _mark(self, status: str) -> Text:
        mark, style = MARKS.get(status, (self._spinner, "bold bright_blue"))
        return _styled(f"{mark} ", style)

    def _step_body(self, step: StepNode, width: int) -> list[Text]:
        document = step.document
        lines: list[Text] = []
        if document.progress is not None and document.status == "running":
            lines.append(self._cut(_styled(bar(document.progress), "bright_blue"), width))
        if document.show_input and (given := step.text("input")):
            language = document.show_input if isinstance(document.show_input, str) else None
            fitted = self._fit(step, given, language, width - 2)
            marks = ["→ ", *["  "] * (len(fitted) - 1)]
            lines += [
                _styled(mark, "dim").append_text(line)
                for mark, line in zip(marks, fitted, strict=True)
            ]
        if output := step.text("output"):
            lines += self._fit(step, output, document.language, width)
        lines += self._error(document.error, width)
        for item in self._belongings.of(step, self._now_s):
            text = _styled(f"{item.mark} ", item.style).append(item.text)
            lines += self._wrapped(text, width)
        return lines

    def _error(self, error: ErrorInfo | None, width: int) -> list[Text]:
        if error is None:
            return []
        text = Text.assemble(
            (one_line(error.type), "bold red"), (f": {printable(error.message)}", "red")
        )
        if self._tracebacks and error.traceback:
            text.append(f"\n{printable(error.traceback)}", "dim")
        return self._wrapped(text, width)

    # -- text -----------------------------------------------------------------------------------

    def _fit(self, step: StepNode, text: str, language: str | None, width: int) -> list[Text]:
        document = step.document
        if language == "json" and len(text) < 4 * width:
            text = _in_one_line(text, width)
        if self._fold is None:
            if document.auto_collapse and document.status == "ok":
                return self._first_lines(text, 1, language, width)
            return self._wrapped(_coloured(printable(text).rstrip(), language), width)
        if document.status == "running":
            return self._ending(text, self._fold if step.is_message else STREAM_LINES, width)
        if step.is_message and document.type != USER_MESSAGE:
            return self._ending(text, self._fold, width)
        return self._first_lines(text, FOLDED_LINES, language, width)

    def _ending(self, text: str, count: int, width: int) -> list[Text]:
        # Cut before it is cleaned and wrapped: a long text would cost that for every picture.
        kept = text[-4 * count * width :]
        lines = self._wrapped(Text(printable(kept).rstrip()), width)
        if len(lines) <= count and len(kept) == len(text):
            return lines
        return [Text("⋮", "dim"), *lines[1 - count :]] if count > 1 else lines[-1:]

    def _first_lines(self, text: str, count: int, language: str | None, width: int) -> list[Text]:
        kept = text[: 4 * count * width]
        plain = printable(kept).rstrip()
        lines = self._wrapped(_coloured(plain, language), width)
        if len(lines) <= count and len(kept) == len(text):
            return lines
        lines = lines[: max(count - 1, 1)]
        left = len(plain)
        for line in lines:
            at = plain.find(line.plain, len(plain) - left)
            left = len(plain) - at - len(line.plain)
        rest = plain[len(plain) - left :] + text[len(kept) :]
        more = rest.strip().count("\n") + 1
        note = f"⋮ {more:,} more lines" if more > 1 else f"⋮ {len(rest):,} more characters"
        return [*lines, Text(note, "dim")]

    def _wrapped(self, text: Text, width: int) -> list[Text]:
        if not text.plain:
            return []
        return list(text.wrap(self._console, max(width, 2), tab_size=4))

    def _cut(self, line: Text, width: int) -> Text:
        line.truncate(width, overflow="ellipsis")
        return line


def _styled(text: str, style: str) -> Text:
    """Text whose style ends with it; that of ``Text(text, style)`` spreads to what is appended."""
    return Text().append(text, style)


def _coloured(text: str, language: str | None) -> Text:
    if language in (None, "", "text") or len(text) > MAX_HIGHLIGHTED:
        return Text(text)
    syntax = Syntax("", str(language), theme="ansi_dark", background_color="default")
    coloured = syntax.highlight(text)
    coloured.rstrip()
    return coloured


def _in_one_line(json: str, width: int) -> str:
    """JSON without its line breaks, which are never part of a value, if that fits."""
    short = _JSON_BREAK.sub(" ", json)
    return short if cell_len(short) <= width else json


def _guides(row: Row, room: int) -> tuple[str, str, str]:
    """The lines of the tree on the left: above a node, beside its head, beside its text."""
    branches: list[str] = []
    at = row
    while at.parent is not None:
        at = at.parent
        if at.parent is not None:
            branches.append("   " if at.is_last else "│  ")
    outer = "".join(reversed(branches))
    if len(outer) > max(room, 0):
        outer = "⋯ " + outer[len(outer) - max(room, 0) :]
    inner = "│ " if row.has_children else "  "
    if row.parent is None:
        return "", "", inner
    return (
        outer + "│",
        outer + ("└─ " if row.is_last else "├─ "),
        outer + ("   " if row.is_last else "│  ") + inner,
    )


def _is_apart(row: Row, tree: SessionTree) -> bool:
    """Whether a blank line stands above: where something new begins."""
    node = row.node
    begins = isinstance(node, RunNode) or node.document.type == USER_MESSAGE
    return begins and row.parent is None and row is not tree.rows()[0]


def _name(node: Node) -> str:
    return node.document.name if isinstance(node, StepNode) else node.document.handler

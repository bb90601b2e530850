"""What stands with a step, in a line each: its elements, what it asks, how it is rated."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from stepwire_cli.printable import one_line, seconds_of, size
from stepwire_cli.reply import SHOWN_ID_CHARS
from stepwire_core.wire.kinds import ACTION, ASK, ELEMENT, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stepwire.client import SessionTree, StepNode
    from stepwire_core.wire.documents import (
        AskDocument,
        ElementDocument,
        FeedbackDocument,
        StepActionDocument,
    )
    from stepwire_core.wire.kinds import Kind

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where the commands look for a gateway."""

_OUTCOMES: Final = {
    "answered": ("✓", "green", "answered"),
    "timeout": ("⊘", "yellow", "no answer came in time"),
    "cancelled": ("⊘", "yellow", "cancelled before anybody answered"),
    "interrupted": ("!", "bold yellow", "interrupted before anybody answered"),
}


_TASKS: Final = {"ready": "○", "running": "▸", "failed": "✗", "done": "✓"}


@dataclass(frozen=True, slots=True)
class Belonging:
    """One of them, as it is now."""

    key: str
    state: str
    """Differs whenever there is news of what the key stands for."""
    mark: str
    style: str
    text: str


class Belongings:
    """Tells those of the steps of a tree; ``url`` is the gateway's."""

    def __init__(self, tree: SessionTree, url: str = DEFAULT_URL) -> None:
        self._tree = tree
        self._url = url.rstrip("/")
        # One for each kind: what a session has must show.
        self._shows: dict[Kind, Callable[[Any, float | None], Belonging]] = {
            ELEMENT: self._element,
            ASK: self._ask,
            FEEDBACK: _rated,
            ACTION: _button,
        }

    def of(self, step: StepNode, now_s: float | None = None) -> Iterator[Belonging]:
        """With ``now_s``, the server's time, also how long an ask stays open."""
        for kind, documents in step.attached.items():
            show = self._shows[kind]
            for document in documents.values():
                yield show(document, now_s)

    def _element(self, element: ElementDocument, _: float | None) -> Belonging:
        if element.type == "tasklist":
            tasks = _tasks(element.props)
            return Belonging(f"element {element.id}", tasks, "▤", "cyan", tasks)
        kind = one_line(element.type)
        facts = kind if element.size is None else f"{kind}, {size(element.size)}"
        # Ours are paths on the gateway's site.
        url = urljoin(self._url, element.url)
        text = f"{one_line(element.name)} ({facts}) {one_line(url)}"
        return Belonging(f"element {element.id}", "", "▤", "cyan", text)

    def _ask(self, ask: AskDocument, now_s: float | None) -> Belonging:
        if ask.status != "open":
            return _ended(ask)
        left = "" if now_s is None else _time_left(ask.expires_at, now_s)
        text = f"{_wanted(ask)}{left}: {self._command(ask)}"
        return Belonging(f"ask {ask.id}", "open", "?", "bold yellow", text)

    def _command(self, ask: AskDocument) -> str:
        """How to answer it from a terminal; what others wrote stands in it only in quotes."""
        words = ["stepwire answer", shlex.quote(one_line(ask.session_id))]
        if ask.kind == "file":
            words.append("--file PATH")
        elif ask.kind == "element":
            words.append("'{…}'")
        elif ask.kind == "action" and ask.actions:
            words.append(shlex.quote(one_line(ask.actions[0].name)))
        else:
            words.append("'TEXT'")
        if len(self._tree.open_asks) > 1:
            words.append(f"--ask {shlex.quote(one_line(ask.id)[:SHOWN_ID_CHARS])}")
        if self._url != DEFAULT_URL:
            words.append(f"--url {shlex.quote(self._url)}")
        return " ".join(words)


def _tasks(props: Mapping[str, Any]) -> str:
    """A list of tasks in one line."""
    tasks = props.get("tasks")
    lines = [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
    shown = [
        f"{_TASKS.get(str(task.get('status')), '?')} {one_line(str(task.get('title')))}"
        for task in lines
    ]
    return " ".join([f"{one_line(str(props.get('status')))}:", *shown])


def _wanted(ask: AskDocument) -> str:
    if ask.kind == "action":
        return f"choose one of {', '.join(_action(ask, action.id) for action in ask.actions)}"
    if ask.kind == "text":
        return "waits for a text"
    if ask.kind == "element":
        return "waits for its element to be submitted"
    if ask.kind != "file":
        return f"waits for what this version of stepwire does not know, {one_line(ask.kind)!r}"
    count = "files" if ask.max_files is None else f"up to {ask.max_files} files"
    if ask.max_files == 1:
        count = "1 file"
    limit = "" if ask.max_bytes is None else f" of at most {size(ask.max_bytes)}"
    accept = f" ({one_line(', '.join(ask.accept))})" if ask.accept else ""
    return f"waits for {count}{limit}{accept}"


def _ended(ask: AskDocument) -> Belonging:
    # A newer version's word is shown as it is.
    mark, style, words = _OUTCOMES.get(ask.status, ("?", "dim", one_line(ask.status)))
    if ask.answer is not None and ask.answer.action_id is not None:
        words += f": {_action(ask, ask.answer.action_id)}"
    elif ask.answer is not None and ask.answer.submission is not None:
        given = ask.answer.submission
        said = json.dumps(given.props, ensure_ascii=False) if given.submitted else "cancelled"
        words += f": {one_line(said)}"
    elif ask.answer is not None and (count := len(ask.answer.elements)):
        words += f" with {count} file{'' if count == 1 else 's'}"
    return Belonging(f"ask {ask.id}", ask.status, mark, style, words)


def _action(ask: AskDocument, action_id: str) -> str:
    """Its name, which answers it, and its label where that says more."""
    for action in ask.actions:
        if action.id == action_id:
            name, label = one_line(action.name), one_line(action.label)
            return name if label == name else f"{name} “{label}”"
    return one_line(action_id)


def _button(action: StepActionDocument, _: float | None) -> Belonging:
    label, name = one_line(action.label or action.name), one_line(action.name)
    text = f"[{label}]" if label == name else f"[{label}] {name}"
    return Belonging(f"action {action.id}", text, "▸", "cyan", text)


def _rated(feedback: FeedbackDocument, _: float | None) -> Belonging:
    mark, word = ("+", "good") if feedback.value else ("-", "not good")
    comment = f": {one_line(feedback.comment)}" if feedback.comment else ""
    style = "green" if feedback.value else "red"
    state = f"{feedback.value} {feedback.comment}"
    return Belonging(f"feedback {feedback.step_id}", state, mark, style, f"rated {word}{comment}")


def _time_left(expires_at: str, now_s: float) -> str:
    end_s = seconds_of(expires_at)
    if end_s is None:
        return ""
    left_s = max(0, round(end_s - now_s))
    return f", {left_s} s left" if left_s <= 90 else f", {round(left_s / 60)} min left"

"""The tree of a run as the state of AG-UI: under one key, beside what the application keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE

if TYPE_CHECKING:
    from stepwire_core.wire.documents import Document

KEY: Final = "stepwire"
"""Where the state has the tree; all other keys are the application's."""

_NOT_IN_TREE: Final = frozenset({"input", "output", "ts", "session_id"})


def node(step: Document) -> Document:
    """A step in the tree: without the texts that messages and calls have, and, while it is running,
    without those that stream."""
    found = {name: value for name, value in step.items() if name not in _NOT_IN_TREE}
    if step["status"] != "running" and step["type"] not in (
        USER_MESSAGE,
        ASSISTANT_MESSAGE,
        "tool",
    ):
        found |= {"input": step["input"], "output": step["output"]}
    return found


def empty() -> dict[str, Any]:
    return {"runs": {}, "steps": {}, "asks": {}}


def put(place: str, id_: str, value: Document) -> dict[str, Any]:
    """The operation that puts a document into the tree, or in place of an earlier one."""
    return {"op": "add", "path": f"/{KEY}/{place}/{_escaped(id_)}", "value": value}


def removed(place: str, id_: str) -> dict[str, Any]:
    return {"op": "remove", "path": f"/{KEY}/{place}/{_escaped(id_)}"}


def _escaped(id_: str) -> str:
    # RFC 6901, 3: ids may have a tilde, and never a slash.
    return id_.replace("~", "~0")


def application_state(state: object) -> dict[str, Any]:
    """The part of a client's state that is not ours; only that of an object can be kept."""
    return {k: v for k, v in state.items() if k != KEY} if isinstance(state, dict) else {}

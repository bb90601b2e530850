"""Documents with the fields that a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from stepwire_core.values.clock import now
from stepwire_core.wire.documents import ElementDocument, RunDocument, StepDocument


def a_step(session_id: str, step_id: str = "step", **fields: object) -> StepDocument:
    """A running step of no run, named like its id."""
    values: dict[str, object] = {
        "id": step_id,
        "session_id": session_id,
        "run_id": None,
        "attempt": 0,
        "parent_id": None,
        "name": step_id,
        "type": "tool",
        "status": "running",
        "started_at": now(),
        "ts": now(),
    }
    return StepDocument.model_validate(values | fields)


def a_run(run_id: str = "run", status: str = "running", **fields: object) -> RunDocument:
    """The first attempt of a run of ``on_message``."""
    values: dict[str, object] = {
        "run_id": run_id,
        "handler": "on_message",
        "attempt": 1,
        "message_id": None,
        "status": status,
        "started_at": now(),
        "ts": now(),
    }
    return RunDocument.model_validate(values | fields)


def an_element(session_id: str, element_id: str, **fields: object) -> ElementDocument:
    """A text file of five bytes, of no step and no run."""
    values: dict[str, object] = {
        "id": element_id,
        "session_id": session_id,
        "run_id": None,
        "step_id": None,
        "type": "file",
        "name": element_id,
        "mime": "text/plain",
        "display": "inline",
        "size": 5,
        "sha256": "0",
        "url": "/",
        "ts": now(),
    }
    return ElementDocument.model_validate(values | fields)


def nested(depth: int) -> list[Any]:
    """That many lists inside each other."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value

"""Events as a gateway sends them: a type and one line of JSON."""

from __future__ import annotations

import itertools
import json
from typing import Any

from stepwire import client

AT = "2026-11-22T19:00:00.000Z"
LATER = "2026-11-22T19:00:01.240Z"

Event = tuple[str, str]

_NUMBERS = itertools.count(1)


def numbered(type_: str, data: str) -> client.Event:
    """The event as the next one of a stream."""
    return client.Event(f"1-{next(_NUMBERS)}", type_, data)


def step(id: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "session_id": "demo",
        "run_id": "r1",
        "attempt": 1,
        "parent_id": None,
        "name": id,
        "type": "tool",
        "status": "running",
        "started_at": AT,
        "ts": AT,
        **fields,
    }


def message(id: str, text: str, **fields: Any) -> dict[str, Any]:
    """A person's message, as the gateway writes it."""
    known = {"type": "user_message", "name": "User", "attempt": 0, "output": text}
    return step(id, **{**known, "status": "ok", "ended_at": AT, **fields})


def run(id: str, **fields: Any) -> dict[str, Any]:
    return {
        "run_id": id,
        "handler": "on_message",
        "attempt": 1,
        "message_id": None,
        "status": "running",
        "started_at": AT,
        "ts": AT,
        **fields,
    }


def start(id: str, **fields: Any) -> Event:
    return "step.start", json.dumps(step(id, **fields))


def end(id: str, **fields: Any) -> Event:
    return "step.end", json.dumps(step(id, **{"status": "ok", "ended_at": LATER, **fields}))


def delta(id: str, text: str, **fields: Any) -> Event:
    return "step.delta", json.dumps({"id": id, "field": "output", "text": text, **fields})


def remove(id: str) -> Event:
    return "step.remove", json.dumps({"id": id})


def said(id: str, text: str, **fields: Any) -> Event:
    return "step.end", json.dumps(message(id, text, **fields))


def run_start(id: str, **fields: Any) -> Event:
    return "run.start", json.dumps(run(id, **fields))


def run_end(id: str, **fields: Any) -> Event:
    return "run.end", json.dumps(run(id, **{"status": "ok", "ended_at": LATER, **fields}))


def element(id: str, step_id: str | None, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "session_id": "demo",
        "run_id": "r1",
        "step_id": step_id,
        "type": "image",
        "name": f"{id}.png",
        "mime": "image/png",
        "display": "inline",
        "size": 48213,
        "sha256": "0",
        "url": f"/v1/sessions/demo/elements/{id}",
        "ts": AT,
        **fields,
    }


def ask(id: str, step_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "session_id": "demo",
        "run_id": "r1",
        "attempt": 1,
        "step_id": step_id,
        "kind": "text",
        "expires_at": "2026-11-22T19:01:00.000Z",
        "started_at": AT,
        "ts": AT,
        **fields,
    }


def add(id: str, step_id: str | None, **fields: Any) -> Event:
    return "element.add", json.dumps(element(id, step_id, **fields))


def asked(id: str, step_id: str, **fields: Any) -> Event:
    return "ask", json.dumps(ask(id, step_id, **fields))


def ask_end(id: str, step_id: str, **fields: Any) -> Event:
    known = {"status": "answered", "ended_at": LATER}
    return "ask.end", json.dumps(ask(id, step_id, **{**known, **fields}))


def rated(step_id: str, value: int | None, comment: str | None = None) -> Event:
    feedback = {"step_id": step_id, "value": value, "comment": comment, "ts": AT}
    return "feedback", json.dumps(feedback)


def button(id: str, step_id: str, **fields: Any) -> Event:
    known = {"id": id, "name": id, "label": id, "session_id": "demo", "run_id": "r1"}
    return "action.add", json.dumps({**known, "step_id": step_id, "ts": AT, **fields})


def snapshot(
    *, runs: list[dict[str, Any]], steps: list[dict[str, Any]], **more: list[dict[str, Any]]
) -> Event:
    whole = {"session_id": "demo", "cursor": "1-1", "runs": runs, "steps": steps, **more}
    return "snapshot", json.dumps(whole)

"""The input of a person: messages, which are steps that are complete from the start, and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from stepwire_core.values.clock import now
from stepwire_core.values.media_types import kind
from stepwire_core.wire.documents import ElementDocument, StepDocument
from stepwire_core.wire.events import NewEvent, element_event, new_step_event, step_event
from stepwire_core.wire.words import USER_MESSAGE


def user_message(
    session_id: str,
    message_id: str,
    content: str,
    *,
    run_id: str | None,
    attempt: int = 0,
    parent_id: str | None = None,
    author: str = "User",
    metadata: Mapping[str, JsonValue] | None = None,
    element_ids: Sequence[str] = (),
) -> StepDocument:
    """The message as a step that has ended."""
    ts = now()
    return StepDocument(
        id=message_id,
        session_id=session_id,
        run_id=run_id,
        attempt=attempt,
        parent_id=parent_id,
        name=author,
        type=USER_MESSAGE,
        status="ok",
        output=content,
        metadata=dict(metadata or {}),
        elements=list(element_ids),
        started_at=ts,
        ended_at=ts,
        ts=ts,
    )


def uploaded(
    session_id: str, element_id: str, name: str, mime: str, *, size: int, sha256: str
) -> ElementDocument:
    """A person's file, which belongs to no step yet; its bytes are in place."""
    return ElementDocument(
        id=element_id,
        session_id=session_id,
        run_id=None,
        step_id=None,
        type=kind(mime),
        name=name,
        mime=mime,
        display="inline",
        size=size,
        sha256=sha256,
        url=f"/v1/sessions/{session_id}/elements/{element_id}",
        ts=now(),
    )


def attached(
    elements: Sequence[ElementDocument], step_id: str, run_id: str | None
) -> list[ElementDocument]:
    """Uploaded files as those of a step: they go when it goes."""
    update = {"step_id": step_id, "run_id": run_id, "ts": now()}
    return [element.model_copy(update=update) for element in elements]


def message_events(
    message: StepDocument, elements: Sequence[ElementDocument] = ()
) -> list[NewEvent]:
    """What puts the message into the log, with the files that belong to it."""
    started = message.model_copy(update={"status": "running", "ended_at": None})
    return [
        new_step_event(started),
        *(element_event(element) for element in elements),
        step_event("step.end", message),
    ]

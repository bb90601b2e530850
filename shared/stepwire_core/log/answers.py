"""Answers to asks: which answers fit an ask, and their events for the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from stepwire_core.errors import InvalidArgument
from stepwire_core.log.event_log import Batch
from stepwire_core.values.clock import now
from stepwire_core.values.ids import message_producer
from stepwire_core.values.media_types import accepts
from stepwire_core.wire.documents import (
    AnswerDocument,
    AskDocument,
    ElementDocument,
    StepDocument,
    Submission,
)
from stepwire_core.wire.events import ask_end_event, element_event
from stepwire_core.wire.user_messages import attached, message_events, user_message

FIELD_OF_KIND: Final = {
    "text": "content",
    "action": "action",
    "file": "files",
    "element": "submission",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a person, by the kind of the ask: a text, the id of an action, files, or what
    an element has come to."""

    id: str
    content: str | None = None
    action: str | None = None
    files: Sequence[ElementDocument] | None = None
    submission: Submission | None = None
    author: str = "User"
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


def ended(ask: AskDocument, answer: Answer) -> AskDocument:
    """The ask with its answer.

    Raises:
        InvalidArgument: the answer does not fit; the message says which answer would.
    """
    _check(ask, answer)
    given = AnswerDocument(
        id=answer.id,
        message_id=None if answer.content is None else answer.id,
        action_id=answer.action,
        elements=[file.id for file in answer.files or ()],
        submission=answer.submission,
    )
    update = {"status": "answered", "answer": given, "ended_at": (ts := now()), "ts": ts}
    return ask.model_copy(update=update)


def answer_batch(ask: AskDocument, answer: Answer, ended: AskDocument) -> Batch:
    """What puts an answer into the log, if the ask is still open: all of it or nothing."""
    message = _message(ask, answer)
    files = attached(answer.files or (), ask.step_id, ask.run_id)
    return Batch(
        ask.session_id,
        [
            *(message_events(message) if message else ()),
            *map(element_event, files),
            ask_end_event(ended),
        ],
        # As of any message of that id: sent as both, it is a conflict.
        producer=message_producer(answer.id),
        run_id=ask.run_id or "",
        attempt=ask.attempt,
        answers=ask.id,
    )


def _message(ask: AskDocument, answer: Answer) -> StepDocument | None:
    """A text is a message of the person, under the question."""
    if answer.content is None:
        return None
    return user_message(
        ask.session_id,
        answer.id,
        answer.content,
        run_id=ask.run_id,
        attempt=ask.attempt,
        parent_id=ask.step_id,
        author=answer.author,
        metadata=answer.metadata,
    )


def _check(ask: AskDocument, answer: Answer) -> None:
    given = [name for name in FIELD_OF_KIND.values() if getattr(answer, name) is not None]
    wanted = FIELD_OF_KIND.get(ask.kind)
    if wanted is None:
        raise InvalidArgument(
            f"ask {ask.id!r} is of kind {ask.kind!r}, which this version does not know: answer it "
            "with a newer one"
        )
    if given != [wanted]:
        raise InvalidArgument(
            f"an ask of kind {ask.kind!r} is answered with {wanted} alone, "
            f"not with {' and '.join(given) or 'nothing'}"
        )
    if ask.kind == "action" and answer.action not in (known := [item.id for item in ask.actions]):
        raise InvalidArgument(f"ask {ask.id!r} has no action {answer.action!r}; it has {known}")
    files = answer.files or ()
    if ask.max_files is not None and len(files) > ask.max_files:
        raise InvalidArgument(f"{len(files)} files, at most {ask.max_files} are asked for")
    for file in files:
        if ask.max_bytes is not None and (file.size or 0) > ask.max_bytes:
            raise InvalidArgument(
                f"{file.name!r} has {file.size} bytes, at most {ask.max_bytes} are asked for"
            )
        if not accepts(ask.accept, file.mime, file.name):
            raise InvalidArgument(
                f"{file.name!r} ({file.mime}) is not of a type that the ask accepts: "
                f"{', '.join(ask.accept)}"
            )

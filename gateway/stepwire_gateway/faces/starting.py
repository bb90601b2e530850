"""What clients of faces start: a session with its first message, runs, their cancellation.

The functions of :mod:`stepwire_gateway.api` do it, so a session of a face is one like all others.
The routes of faces take any session (``@needs("write", session="body", …)``), and each function
here that finds one checks that the caller may use it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response

from stepwire_core.errors import (
    Forbidden,
    InvalidArgument,
    InvalidId,
    RunNotFound,
    SessionNotFound,
)
from stepwire_core.values.ids import check_id, derived_id
from stepwire_core.values.media_types import UNKNOWN, is_valid
from stepwire_core.wire.events import user_value_event
from stepwire_core.wire.words import ON_MESSAGE, REPLACES
from stepwire_gateway.api.idempotency import Idempotency
from stepwire_gateway.api.runs import Retry, cancel_run, retry_run
from stepwire_gateway.api.sessions import NewMessage, make_session, post_message
from stepwire_gateway.api.uploads import File, kept_element, known_element

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import Document
    from stepwire_core.wire.rights import Right
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services

METADATA: Final = "metadata"
"""The value of the user session that holds what the client has said when the session began. One
name: a client must not be able to set those that handlers use."""


@dataclass(frozen=True, slots=True)
class Said:
    """A person's message, as a client of a face has sent it."""

    id: str
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    elements: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Started:
    """A run that answers a message: read its session from ``after``, in the scope of ``run_id``."""

    session_id: str
    run_id: str
    message_id: str
    after: Cursor | None
    """For ``services.hub.open``: nothing of the run comes before it. None: the run may have begun,
    since the same message was sent before; a snapshot tells how far it is."""


def session_of(caller: Caller, right: Right, thread_id: str) -> str:
    """The session that a client's own name for its conversation stands for.

    It is the name itself, where the token opens a session of that name. Else it stands after the
    first beginning that the token opens, as ids of new sessions do. A name that no session can have
    stands for one derived from it. So the same name is the same session to the same token.

    Raises:
        Forbidden: the caller lacks the right, or its token opens single sessions only.
    """
    caller.require_right(right)
    name = as_id(thread_id, "session")
    if any(pattern.matches(name) for pattern in caller.patterns):
        return name
    try:
        return caller.new_session_id(name)
    except Forbidden:
        raise Forbidden("this token does not open that session") from None


def as_id(given: str, what: str) -> str:
    """An id of a client's as one of ours: itself, or one derived from it."""
    try:
        return check_id(given, what)
    except InvalidId:
        return derived_id(what, given)


async def ensure_session(
    request: Request,
    services: Services,
    caller: Caller,
    session_id: str,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Make the session on its first use; handlers find ``metadata`` in
    ``cl.user_session.get("metadata")``.

    Raises:
        LimitExceeded: the caller makes too many.
        QueueFull, StoreUnavailable: as :func:`make_session`.
    """
    [top] = await services.log.tops([session_id])
    if top is not None:
        return
    await services.limits.count("sessions", caller, request)
    events = [user_value_event(METADATA, json.dumps(metadata))] if metadata else []
    await make_session(services, caller, session_id, events)


async def say(
    request: Request, services: Services, caller: Caller, session_id: str, said: Said
) -> Started:
    """Send a message to a session that is there; the same again starts nothing new.

    Raises: as :func:`post_message`.
    """
    # In this order: if the message is not there yet, nothing of its run is before that cursor.
    [top] = await services.log.tops([session_id])
    given, metadata = as_id(said.id, "message"), said.metadata
    message_id, known = await _message(services, session_id, given, said.content)
    if message_id != given:
        metadata = metadata | {REPLACES: given}
    accepted = await post_message(
        services,
        caller,
        Idempotency(request, caller, None),
        session_id,
        Response(),
        NewMessage(id=message_id, content=said.content, metadata=metadata, elements=said.elements),
    )
    after = top if known is None else None
    return Started(session_id, accepted.run_id, message_id, after)


async def _message(
    services: Services, session_id: str, given: str, content: str
) -> tuple[str, Document | None]:
    """The id of a message, and the message if it is there.

    Clients keep the id of one that a person has changed. What was said is said, so the changed one
    is another message, whose id comes from its words.
    """
    known = await services.log.step(session_id, given)
    if known is None or known["output"] == content:
        return given, known
    changed = derived_id("changed", session_id, given, content)
    return changed, await services.log.step(session_id, changed)


async def answer_again(
    request: Request, services: Services, caller: Caller, session_id: str, said: Said
) -> Started:
    """Have a message answered again, by a run whose ``retry_of`` is the last one that has.

    The id of that run comes from the last one: the same request again, while it is under way,
    starts nothing new.

    Raises:
        RunNotFound: no such message was sent.
        RunNotOver: its answer is still under way, and is none that this has started.
    """
    [top] = await services.log.tops([session_id])
    given = as_id(said.id, "message")
    message_id, _ = await _message(services, session_id, given, said.content)
    run_id, run = derived_id(session_id, ON_MESSAGE, message_id), None
    while True:
        # Each of them is the answer to a request of a person.
        next_id = derived_id(run_id, "again")
        try:
            run = await services.log.known_run(session_id, next_id)
        except RunNotFound:
            break
        run_id = next_id
    if run is not None and run.ended_at is None:
        return Started(session_id, run_id, message_id, after=None)
    await retry_run(
        services,
        caller,
        Idempotency(request, caller, None),
        session_id,
        run_id,
        Response(),
        Retry(id=next_id),
    )
    return Started(session_id, next_id, message_id, after=top)


async def keep_file(
    services: Services, session_id: str, message_id: str, name: str, mime: str, content: bytes
) -> str:
    """The id of an element with a file that came within a message; the same again is the same.

    Raises:
        IdConflict: an earlier file of this message was removed.
        InvalidArgument: it is larger than is kept.
        StoreUnavailable: Redis, or the storage of large elements, does not answer.
    """
    digest = sha256(content).hexdigest()
    element_id = derived_id("file", session_id, message_id, name, mime, digest)
    mime = mime if is_valid(mime) else UNKNOWN
    file = File(session_id, element_id, name[:255], mime)
    if services.objects is None and len(content) > services.settings.elements_redis_bytes:
        raise InvalidArgument(
            f"the file {name!r} is larger than this gateway keeps (STEPWIRE_ELEMENTS_REDIS_BYTES)"
        )
    if await known_element(services, file, _whole(content)) is None:
        await kept_element(services, file, _whole(content))
    return element_id


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def stop(services: Services, session_id: str, run_id: str) -> None:
    """Cancel a run; one that is over, or not there, stays as it is."""
    with suppress(SessionNotFound):
        await cancel_run(services, session_id, run_id, Response())

"""The work of a run, done again by a new run of its session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from stepwire_core.errors import ElementNotFound, RequestNotKept, RunNotOver
from stepwire_core.values.ids import derived_id
from stepwire_core.wire.documents import StepDocument
from stepwire_core.wire.run_request import KeptRequest, RunRequest
from stepwire_core.wire.words import IN_TURN, ON_CHAT_RESUME, ON_CHAT_START, is_event_handler

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
    from stepwire_core.queue.run_queue import RunQueue

WITHOUT_ARGUMENTS: Final = frozenset({ON_CHAT_START, ON_CHAT_RESUME})
"""Handlers whose runs are asked for with nothing but their name."""


@dataclass(frozen=True, slots=True)
class PastRequest:
    """The request that started a run that is over."""

    request: RunRequest
    is_open: bool
    """Whether every reader of the session knows it anyway, as with a message."""
    sender: str | None = None
    """The subject that has sent the arguments; None for a backend, and for a handler."""

    @property
    def kept(self) -> KeptRequest | None:
        """What the session keeps of it for a repetition; None: nothing."""
        request = self.request
        if is_event_handler(request.handler):
            return None
        return KeptRequest(
            handler=request.handler,
            arguments=request.arguments,
            tags=request.tags,
            sender=self.sender,
        )


async def past_request(
    log: EventLog, letters: DeadLetters, session_id: str, run_id: str
) -> PastRequest:
    """What a run was asked for with: its message, what the session has kept of its request, or its
    dead letter.

    Raises:
        SessionNotFound, RunNotFound: the run is not there.
        RunNotOver: it waits or goes on.
        RequestNotKept: it is not known any more.
        StoreUnavailable: Redis does not answer.
    """
    run = await log.known_run(session_id, run_id)
    if run is None or run.ended_at is None or run.will_retry:
        raise RunNotOver(session_id, run_id)
    plain = RunRequest(session_id=session_id, run_id=run_id, handler=run.handler)
    if run.message_id is not None:
        return PastRequest(await _with_message(log, plain, run.message_id), is_open=True)
    if (kept := await log.kept_request(session_id, run_id)) is not None:
        update = {"handler": kept.handler, "arguments": kept.arguments, "tags": kept.tags}
        return PastRequest(plain.model_copy(update=update), is_open=False, sender=kept.sender)
    letter = await letters.get(run_id)
    if letter is not None and letter.request.session_id == session_id:
        return PastRequest(letter.request, is_open=is_event_handler(run.handler))
    if run.handler in WITHOUT_ARGUMENTS:
        return PastRequest(plain, is_open=True)
    raise RequestNotKept(
        session_id,
        run_id,
        "its arguments are not kept; start the task anew, with them and with 'retry_of'",
    )


async def _with_message(log: EventLog, request: RunRequest, message_id: str) -> RunRequest:
    found = await log.step(request.session_id, message_id)
    try:
        message = StepDocument.model_validate(found)
        elements = await log.elements(request.session_id, message.elements)
    except (ValidationError, ElementNotFound):
        raise RequestNotKept(
            request.session_id, request.run_id, "its message, or a file of it, was removed"
        ) from None
    return request.model_copy(update={"message": message, "elements": elements})


def repetition(old: RunRequest, run_id: str) -> RunRequest:
    """The same work as that of another run, which is over.

    No caller awaits the new run: the one that awaited the old run has got its outcome.
    """
    update = {
        "run_id": run_id,
        "retry_of": old.run_id,
        "parent_run_id": None,
        "awaited": False,
    }
    return old.model_copy(update=update)


async def start_again(
    request: RunRequest, log: EventLog, queue: RunQueue, *, keep: KeptRequest | None = None
) -> None:
    """Register and queue a :func:`repetition`; the same again changes nothing.

    Raises:
        SessionNotFound: the session is gone.
        SessionFull: a new run could show nothing.
        IdConflict: the id of the run stands for other work.
        StoreUnavailable: Redis does not answer; repeating the call is safe.
    """
    turn = request.handler if request.handler in IN_TURN else ""
    # The subject and the priority may differ when the call is repeated.
    work = request.model_dump_json(exclude={"subject", "priority"})
    await log.register_run(request.session_id, request.run_id, work, turn=turn, keep=keep)
    await queue.enqueue(request)


async def replay(letter: DeadLetter, letters: DeadLetters, log: EventLog, queue: RunQueue) -> str:
    """Do the work of ``letter`` again, and take the letter off the list. Returns the id of the new
    run.

    The new id comes from the old one. So a replay that was cut off, or that two people ask for at
    once, still makes one run.

    Raises:
        SessionNotFound: the session is gone; the letter stays.
        StoreUnavailable: Redis does not answer; repeating the call is safe.
    """
    old = letter.request
    request = repetition(old, derived_id(old.run_id, "retry"))
    await start_again(request, log, queue)
    await letters.forget(old.run_id)
    return request.run_id

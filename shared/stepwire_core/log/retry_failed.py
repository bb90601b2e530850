"""The work of a dead letter, done again by a new run of its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_core.values.ids import derived_id
from stepwire_core.wire.documents import IN_TURN

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
    from stepwire_core.queue.run_queue import RunQueue


async def replay(letter: DeadLetter, letters: DeadLetters, log: EventLog, queue: RunQueue) -> str:
    """Register and queue a new run with the request of ``letter``, and take the letter off the
    list. Returns the id of the new run.

    The new id comes from the old one. So a replay that was cut off, or that two people ask for at
    once, still makes one run.

    Raises:
        SessionNotFound: the session is gone; the letter stays.
        StoreUnavailable: Redis does not answer; repeating the call is safe.
    """
    old = letter.request
    # No caller awaits the new run: the one that awaited the old run has got its failure.
    update = {
        "run_id": derived_id(old.run_id, "retry"),
        "parent_run_id": None,
        "awaited": False,
    }
    request = old.model_copy(update=update)
    turn = request.handler if request.handler in IN_TURN else ""
    await log.register_run(request.session_id, request.run_id, request.model_dump_json(), turn=turn)
    await queue.enqueue(request)
    await letters.forget(old.run_id)
    return request.run_id

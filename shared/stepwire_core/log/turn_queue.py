"""The row of a session's runs that wait for each other: how it moves on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.wire.words import IN_TURN

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.queue.run_queue import RunQueue

NOBODY: Final = ""


async def pass_turn(
    log: EventLog, queue: RunQueue, session_id: str, handler: str, run_id: str
) -> None:
    """Take a run (or :data:`NOBODY`) out of the row, and let the first one that is left begin now.

    One that has begun before is left alone: it may wait for its next attempt.

    Raises:
        StoreUnavailable: one of both did not answer; again is safe.
    """
    if handler not in IN_TURN:
        return
    following = await log.leave_turn(session_id, handler, run_id)
    if following is not None:
        await queue.make_due(following)

"""The runs of a session that wait for an attempt.

The session knows which they are: their acceptance and the end of an attempt add them, its
beginning takes them out, in the calls that are made anyway. What they wait for is not an event of
the session: a worker that comes, or a run of another session that ends, changes it. So it is found
when it is asked for, in two round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import SessionNotFound
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.clock import written
from stepwire_core.wire.run_entry import WaitingRun

if TYPE_CHECKING:
    from stepwire_core.queue.standings import Standing, Standings
    from stepwire_core.redis.store import Store

_TURNS: Final = 1_000
"""Runs of the row that are looked at."""


async def read_waiting(
    store: Store, standings: Standings, session_id: str, limit: int
) -> Sequence[WaitingRun]:
    """The runs that wait, the one that has waited longest first; at most ``limit``.

    Raises:
        SessionNotFound: the session is not there.
        StoreUnavailable: Redis does not answer.
    """
    keys = SessionKeys.of(session_id)
    there, scored, row = await store.read(
        command("EXISTS", keys.meta),
        command("ZRANGE", keys.waiting, 0, limit - 1, "WITHSCORES"),
        command("LRANGE", keys.turns, 0, _TURNS - 1),
    )
    if not there:
        raise SessionNotFound(session_id)
    ids = [id_.decode() for id_ in scored[::2]]
    if not ids:
        return ()
    turns = {
        run: (place, handler)
        for place, (handler, _, run) in enumerate(entry.decode().partition(" ") for entry in row)
    }
    places, is_attended = await standings.of(ids), await standings.are_attended()
    runs = []
    for id_, since_ms in zip(ids, scored[1::2], strict=True):
        before, handler = turns.get(id_, (0, None))
        run = WaitingRun(run_id=id_, handler=handler, waiting_since=written(int(since_ms)))
        runs.append(_placed(run, before, places.get(id_), is_attended=is_attended))
    return runs


def _placed(
    run: WaitingRun, before: int, place: Standing | None, *, is_attended: bool
) -> WaitingRun:
    if place is not None:
        run.handler = place.handler or run.handler
    if place is not None and place.state == "taken" and not before:
        run.waits_for = "start"
    elif place is not None and place.state == "deferred" and not before:
        # A run whose turn has not come is deferred, too, with or without a due time.
        run.waits_for, run.due_at = "time", written(place.due_ms)
    elif place is None and not before:
        run.waits_for = None
    elif not is_attended:
        run.waits_for = "worker"
    elif before:
        run.waits_for, run.ahead = "turn", before
    elif place is not None and place.state == "held":
        run.waits_for = "limit"
    elif place is not None:
        run.waits_for, run.ahead = "slot", place.ahead
    return run

"""Which run of a session answers its last message, and whether it is still under way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepwire_core.errors import SessionNotFound
from stepwire_core.wire.documents import ON_MESSAGE
from stepwire_core.wire.kinds import RUN, STEP

if TYPE_CHECKING:
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
    from stepwire_gateway.services import Services

_USER_MESSAGE = b'"type":"user_message"'


@dataclass(frozen=True, slots=True)
class Answering:
    """A run that answers a person's message."""

    run_id: str
    began_at: int | None
    """The ``seq`` of its first event; None: it waits for a worker."""


async def answering(services: Services, session_id: str) -> Answering | None:
    """The run that answers the last message; None: nothing is under way, or the session is not
    there.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    try:
        snapshot = await services.hub.snapshots.whole(session_id)
    except SessionNotFound:
        return None
    return last_answering(snapshot)


def last_answering(snapshot: WrittenSnapshot, *, or_ended: bool = False) -> Answering | None:
    """The same of a snapshot; of its documents few are parsed. ``or_ended``: if nothing is under
    way, the last answer."""
    found = _last_run(snapshot, ended=False) or _waiting(snapshot)
    if found is None and or_ended:
        found = _last_run(snapshot, ended=True)
    return found


def _last_run(snapshot: WrittenSnapshot, *, ended: bool) -> Answering | None:
    runs = snapshot.documents[RUN]
    for at in reversed(range(len(runs.ids))):
        if (runs.ids[at] in snapshot.ended_runs) != ended:
            continue
        run = json.loads(snapshot.frame[runs.starts[at] : runs.stops[at]])
        if run["handler"] == ON_MESSAGE:
            return Answering(run["run_id"], runs.orders[at])
    return None


def _waiting(snapshot: WrittenSnapshot) -> Answering | None:
    """The last message, if no attempt to answer it has begun."""
    steps, known = snapshot.documents[STEP], set(snapshot.documents[RUN].ids)
    for at in reversed(range(len(steps.ids))):
        start, stop = steps.starts[at], steps.stops[at]
        if snapshot.frame.find(_USER_MESSAGE, start, stop) < 0:
            continue
        step = json.loads(snapshot.frame[start:stop])
        if step["type"] == "user_message" and step["attempt"] == 0:
            run_id = step["run_id"]
            return None if run_id is None or run_id in known else Answering(run_id, None)
    return None

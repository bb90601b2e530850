"""What sessions say of themselves in a list: some fields of each one's ``meta``.

On a cluster the sessions are on many servers, and one that is away must not cost the list the
sessions of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Any, Final

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call, command
from stepwire_core.redis.keys import INDEX_KEYS, SessionKeys
from stepwire_core.redis.store import QUICK_S, Store
from stepwire_core.wire.unreadable import UNREADABLE

logger = logging.getLogger("stepwire.sessions")

_FIELDS: Final = ("epoch", "born", "title", "subject", "status", "running", "expires")

Facts = dict[str, bytes | None]


class Missing(Enum):
    """Why there are no facts."""

    GONE = "gone"
    """The session does not exist."""
    AWAY = "away"
    """Its server does not answer now."""


class SessionFacts:
    """Asks the servers of sessions, each for itself. Only that of the index must answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._away: set[Hashable] = set()

    async def of(self, session_ids: Sequence[str]) -> list[Facts | Missing]:
        """What each of these says. A server that was away is not asked again by this object, so
        that a caller with many questions waits for it once.

        Raises:
            StoreUnavailable, StoreRefused: the server of the index does not answer.
        """
        of_place: defaultdict[Hashable, list[str]] = defaultdict(list)
        for id_ in session_ids:
            of_place[self._store.place_of(SessionKeys.of(id_).meta)].append(id_)
        parts = await asyncio.gather(*(self._at(place, ids) for place, ids in of_place.items()))
        found = {
            id_: facts
            for ids, part in zip(of_place.values(), parts, strict=True)
            for id_, facts in zip(ids, part, strict=True)
        }
        return [found[id_] for id_ in session_ids]

    async def _at(self, place: Hashable, ids: Sequence[str]) -> list[Facts | Missing]:
        calls = [command("HMGET", SessionKeys.of(id_).meta, *_FIELDS) for id_ in ids]
        if place == self._store.place_of(INDEX_KEYS[0]):
            return await self._together(ids, calls, is_needed=True)
        if place in self._away:
            return [Missing.AWAY for _ in ids]
        found: list[Facts | Missing]
        try:
            async with asyncio.timeout(QUICK_S):
                found = await self._together(ids, calls, is_needed=False)
        except TimeoutError:
            found = [Missing.AWAY for _ in ids]
        if found and all(facts is Missing.AWAY for facts in found):
            logger.warning("sessions of a node are left out", extra={"node": str(place)})
            self._away.add(place)
        return found

    async def _together(
        self, ids: Sequence[str], calls: Sequence[Call], *, is_needed: bool
    ) -> list[Facts | Missing]:
        """In one round trip; each by itself if that fails: one that is spoilt, or whose slot is on
        its way, costs no other."""
        try:
            return [_facts(values) for values in await self._store.read(*calls)]
        except (StoreUnavailable, StoreRefused):
            if is_needed:
                raise
        except Exception:  # noqa: BLE001, S110 - the same: each tells its own
            pass
        alone = (self._alone(*pair, is_needed=is_needed) for pair in zip(ids, calls, strict=True))
        # These share a round trip, too.
        return await asyncio.gather(*alone)

    async def _alone(self, id_: str, call: Call, *, is_needed: bool) -> Facts | Missing:
        try:
            [values] = await self._store.read(call)
        except (StoreUnavailable, StoreRefused):
            if is_needed:
                raise
            return Missing.AWAY
        except Exception as error:  # noqa: BLE001 - the value there is not a session, so the session is gone
            UNREADABLE.note("session", id_, str(error), session_id=id_)
            return Missing.GONE
        return _facts(values)


def _facts(values: Sequence[Any]) -> Facts | Missing:
    return Missing.GONE if values[0] is None else dict(zip(_FIELDS, values, strict=True))

"""Where the primary is, as Sentinels know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.sentinel import MasterNotFoundError

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import command
from stepwire_core.redis.standalone import connect, connect_blocking
from stepwire_core.values.addresses import RedisAddress

ANSWER_S: Final = 1.0
"""How long one Sentinel may take to answer; then the next one is asked."""

_PRIMARIES: Final = command("SENTINEL MASTERS")


class Sentinels:
    """Asks one after the other; the one that knew is the first to be asked the next time.

    What they say is asked for with every connection that is made, as the guidelines for clients of
    Sentinel want it: https://redis.io/docs/latest/develop/reference/sentinel-clients/
    """

    def __init__(self, address: RedisAddress) -> None:
        self._name = address.primary
        self._stores = [connect(address.sentinel(*host)) for host in address.hosts]

    async def locate(self) -> tuple[str, int]:
        problems = []
        for store in tuple(self._stores):
            try:
                known = await store.call(_PRIMARIES, within_s=ANSWER_S)
            except (StoreRefused, StoreUnavailable) as error:
                problems.append(str(error))
                continue
            place, problem = _place(known, self._name)
            if place is not None:
                self._stores.remove(store)
                self._stores.insert(0, store)
                return place
            problems.append(problem)
        raise _not_found(self._name, problems)

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()


class BlockingSentinels:
    """The same for blocking connections; any thread may ask."""

    def __init__(self, address: RedisAddress) -> None:
        self._name = address.primary
        self._stores = [
            connect_blocking(address.sentinel(*host), timeout_s=ANSWER_S) for host in address.hosts
        ]

    def locate(self) -> tuple[str, int]:
        problems = []
        for store in self._stores:
            try:
                known = store.call(_PRIMARIES)
            except (StoreRefused, StoreUnavailable) as error:
                problems.append(str(error))
                continue
            place, problem = _place(known, self._name)
            if place is not None:
                # A list of its own: another thread may be going through the old one.
                self._stores = [store, *(other for other in self._stores if other is not store)]
                return place
            problems.append(problem)
        raise _not_found(self._name, problems)

    def close(self) -> None:
        for store in self._stores:
            store.close()


def _place(known: Mapping[str, Mapping[str, Any]], name: str) -> tuple[tuple[str, int] | None, str]:
    """Where the primary is by what a Sentinel says, or why it cannot be used."""
    primary = known.get(name)
    if primary is None:
        return None, f"it knows {', '.join(sorted(known)) or 'none'}"
    if primary["is_sdown"] or primary["is_odown"] or not primary["is_master"]:
        return None, "it holds it for down, and no other one is chosen yet"
    return (str(primary["ip"]), int(primary["port"])), ""


def _not_found(name: str, problems: Sequence[str]) -> MasterNotFoundError:
    said = "; ".join(dict.fromkeys(problems))
    return MasterNotFoundError(f"no Sentinel names a primary {name!r} that is up: {said}")

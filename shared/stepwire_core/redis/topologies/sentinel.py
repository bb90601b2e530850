"""Where the primary is, as Sentinels know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from redis.sentinel import MasterNotFoundError

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import command
from stepwire_core.redis.standalone import connect, connect_blocking
from stepwire_core.values.addresses import RedisAddress

ANSWER_S: Final = 1.0
"""How long one Sentinel may take to answer; then the next one is asked."""

_PRIMARIES: Final = command("SENTINEL MASTERS")


Place = tuple[str, int]


class Look:
    """What the Sentinels say, one after the other, and what to go by."""

    def __init__(self, primary: str, epoch: int) -> None:
        """``epoch`` is that of the newest configuration that any of them has told so far."""
        self.epoch = epoch
        self.problems: list[str] = []
        self._name = primary
        self._doubted: list[tuple[int, Place]] = []
        self._found: Place | None = None

    def hear(self, known: Mapping[str, Mapping[str, Any]]) -> bool:
        """One has replied to :data:`_PRIMARIES`; whether that is what to go by. If not, ask on.

        A Sentinel that missed a failover names the old primary, maybe for ever; its
        configuration has an older epoch.
        """
        primary = known.get(self._name)
        if primary is None:
            self.problems.append(f"it knows {', '.join(sorted(known)) or 'none'}")
            return False
        if primary["is_sdown"] or primary["is_odown"] or not primary["is_master"]:
            self.problems.append("it holds it for down, and no other one is chosen yet")
            return False
        place = (str(primary["ip"]), int(primary["port"]))
        epoch = int(primary.get("config-epoch", 0))
        if epoch < self.epoch:
            self._doubted.append((epoch, place))
            return False
        self._found, self.epoch = place, epoch
        return True

    def place(self) -> Place:
        """Where the primary is.

        Raises:
            MasterNotFoundError: no Sentinel names one.
        """
        if self._found is not None:
            return self._found
        if not self._doubted:
            raise _not_found(self._name, self.problems)
        self.epoch, place = max(self._doubted)
        return place


S = TypeVar("S")


class Row(Generic[S]):
    """In what order Sentinels are asked: each time another one first, so that one which is wrong is
    found out; those that were silent last, as each of them takes its time."""

    def __init__(self, sentinels: Sequence[S]) -> None:
        self.all: Final = tuple(sentinels)
        self._speaking = self.all

    def to_ask(self) -> Sequence[S]:
        speaking = self._speaking
        return [*speaking, *(one for one in self.all if one not in speaking)]

    def note(self, spoke: Sequence[S], silent: Sequence[S]) -> None:
        """These have been asked. Another thread may do the same: then one of the two counts."""
        others = [one for one in self._speaking if one not in spoke and one not in silent]
        self._speaking = (*others, *spoke)


class Sentinels:
    """Asks one after the other.

    What they say is asked for with every connection that is made, as the guidelines for clients of
    Sentinel want it: https://redis.io/docs/latest/develop/reference/sentinel-clients/
    """

    def __init__(self, address: RedisAddress) -> None:
        self._name = address.primary
        self._epoch = 0
        self._row = Row([connect(address.sentinel(*host)) for host in address.hosts])

    async def locate(self) -> tuple[str, int]:
        look, spoke, silent = Look(self._name, self._epoch), [], []
        for store in self._row.to_ask():
            try:
                known = await store.call(_PRIMARIES, within_s=ANSWER_S)
            except (StoreRefused, StoreUnavailable) as error:
                look.problems.append(str(error))
                silent.append(store)
                continue
            spoke.append(store)
            if look.hear(known):
                break
        self._row.note(spoke, silent)
        place, self._epoch = look.place(), look.epoch
        return place

    async def aclose(self) -> None:
        for store in self._row.all:
            await store.aclose()


class BlockingSentinels:
    """The same for blocking connections; any thread may ask."""

    def __init__(self, address: RedisAddress) -> None:
        self._name = address.primary
        self._epoch = 0
        self._row = Row(
            [
                connect_blocking(address.sentinel(*host), timeout_s=ANSWER_S)
                for host in address.hosts
            ]
        )

    def locate(self) -> tuple[str, int]:
        look, spoke, silent = Look(self._name, self._epoch), [], []
        for store in self._row.to_ask():
            try:
                known = store.call(_PRIMARIES)
            except (StoreRefused, StoreUnavailable) as error:
                look.problems.append(str(error))
                silent.append(store)
                continue
            spoke.append(store)
            if look.hear(known):
                break
        self._row.note(spoke, silent)
        place, self._epoch = look.place(), look.epoch
        return place

    def close(self) -> None:
        for store in self._row.all:
            store.close()


def _not_found(name: str, problems: Sequence[str]) -> MasterNotFoundError:
    said = "; ".join(dict.fromkeys(problems))
    return MasterNotFoundError(f"no Sentinel names a primary {name!r} that is up: {said}")

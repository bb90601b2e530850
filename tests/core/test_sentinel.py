"""Which Sentinel is asked, and which is believed; what real ones do is in test_failovers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.sentinel import MasterNotFoundError

from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.topologies import sentinel
from stepwire_core.redis.topologies.sentinel import BlockingSentinels, Look, Sentinels
from stepwire_core.values.addresses import RedisAddress

pytestmark = pytest.mark.anyio

ADDRESS = RedisAddress.of("redis+sentinel://a:1,b:2,c:3/orders/0")

Known = dict[str, dict[str, Any]]


def names(port: int, epoch: int, **fields: Any) -> Known:
    """The reply of a Sentinel that takes the server at this port for the primary."""
    up = {"is_master": True, "is_sdown": False, "is_odown": False}
    return {"orders": {"ip": "10.0.0.1", "port": port, "config-epoch": epoch} | up | fields}


@pytest.fixture(params=[Sentinels, BlockingSentinels])
def located(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks three Sentinels that say this; returns the port, and who was asked."""
    said: dict[str, Known | None] = {}
    asked: list[str] = []

    class Told:
        def __init__(self, url: str) -> None:
            self._host = url.partition("//")[2][0]

        def reply(self) -> Known:
            asked.append(self._host)
            if (known := said[self._host]) is None:
                raise StoreUnavailable("silent")
            return known

    class Calls(Told):
        async def call(self, *_: object, **__: object) -> Known:
            return self.reply()

    class BlockingCalls(Told):
        def call(self, *_: object) -> Known:
            return self.reply()

    monkeypatch.setattr(sentinel, "connect", Calls)
    monkeypatch.setattr(sentinel, "connect_blocking", lambda url, **_: BlockingCalls(url))
    sentinels = request.param(ADDRESS)

    async def locate(*replies: Known | None) -> tuple[int, str]:
        said.update(zip("abc", replies, strict=True))
        asked.clear()
        found = sentinels.locate()
        _, port = found if isinstance(found, tuple) else await found
        return port, "".join(asked)

    return locate


async def test_a_sentinel_that_was_left_behind_is_found_out(located: Callable[..., Any]) -> None:
    """As in redis/redis#13335: one of three names the old primary until an operator restarts it."""
    replies = names(1, 5), names(2, 6), names(2, 6)
    # Nothing is known yet, and the connection to the old one is refused later.
    assert await located(*replies) == (1, "a")
    assert await located(*replies) == (2, "b")
    assert await located(*replies) == (2, "c")
    assert await located(*replies) == (2, "ab")
    # Where no other one answers, it is better than nothing.
    assert await located(names(1, 5), None, None) == (1, "cab")


async def test_a_silent_sentinel_is_asked_last(located: Callable[..., Any]) -> None:
    up = names(1, 5)
    assert await located(None, up, up) == (1, "ab")
    assert await located(None, up, up) == (1, "c")
    assert await located(None, up, up) == (1, "b")
    assert await located(None, up, up) == (1, "c")
    # And again when the others are.
    assert await located(up, None, None) == (1, "bca")
    assert await located(up, up, up) == (1, "a")


async def test_one_that_knows_of_no_primary_is_passed_over(located: Callable[..., Any]) -> None:
    down = names(1, 5, is_sdown=True)
    assert await located(down, {"other": {}}, names(2, 6)) == (2, "abc")
    with pytest.raises(MasterNotFoundError, match=r"holds it for down.*it knows other; silent"):
        await located(down, {"other": {}}, None)


def test_what_was_doubted_is_taken_by_its_epoch() -> None:
    look = Look("orders", 7)
    assert not look.hear(names(1, 5))
    assert not look.hear(names(2, 6))
    assert (look.place(), look.epoch) == (("10.0.0.1", 2), 6)

"""A claim has one owner at a time, and only its owner ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.claims import claimed
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import claim_key
from stepwire_core.redis.standalone import StandaloneStore, open_store
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

LONGEST_S = 600


@pytest.fixture
async def store(server: EmbeddedServer) -> AsyncIterator[StandaloneStore]:
    async with open_store(server.url) as store:
        yield store


@pytest.fixture
def key() -> str:
    return claim_key(new_id())


async def test_a_claim_is_refused_until_the_block_that_has_it_ends(
    store: StandaloneStore, key: str
) -> None:
    async with claimed(store, key, LONGEST_S) as first:
        assert first
        [left_ms] = await store.read(command("PTTL", key))
        assert 0 < left_ms <= LONGEST_S * 1000
        for _ in range(2):
            async with claimed(store, key, LONGEST_S) as second:
                assert not second
    async with claimed(store, key, LONGEST_S) as third:
        assert third
    assert await store.read(command("EXISTS", key)) == [0]


async def test_an_owner_that_goes_on_after_its_claim_is_over_leaves_that_of_the_next_alone(
    store: StandaloneStore, key: str
) -> None:
    async with claimed(store, key, LONGEST_S) as slow:
        assert slow
        await store.call(command("DEL", key))  # its time is over
        next_one = claimed(store, key, LONGEST_S)
        assert await next_one.__aenter__()
    async with claimed(store, key, LONGEST_S) as third:
        assert not third, "the claim of the next owner was ended by the slow one"
    await next_one.__aexit__(None, None, None)
    assert await store.read(command("EXISTS", key)) == [0]


async def test_what_was_done_counts_although_the_claim_could_not_be_ended(key: str) -> None:
    with embedded_server() as own:
        async with open_store(own.url) as store:
            async with claimed(store, key, LONGEST_S) as is_ours:
                assert is_ours
                own.kill()
            with pytest.raises(StoreUnavailable):
                async with claimed(store, key, LONGEST_S):
                    pytest.fail("nothing is claimed without Redis")

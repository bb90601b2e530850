"""Reads of many callers in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stepwire_core.redis.commands import Call, command
from stepwire_core.redis.gathering import AT_ONCE, Gathering

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class Server:
    """Answers with the key; notes what came together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def replies(self, calls: Sequence[Call]) -> Sequence[Any]:
        self.together.append(len(calls))
        self.asked.set()
        await self.may_answer.wait()
        keys = [str(call.words[1]) for call in calls]
        if "all" in keys:
            raise ConnectionError
        return [KeyError(key) if key == "one" else key for key in keys]


async def test_what_is_asked_for_in_one_turn_is_one_round_trip() -> None:
    server = Server()
    gathering = Gathering(server.replies)
    keys = [f"key {number}" for number in range(AT_ONCE + 2)]
    async with asyncio.timeout(LIMIT_S):
        replies = await asyncio.gather(*(gathering.reply(command("GET", key)) for key in keys))
        assert replies == keys
        assert server.together == [AT_ONCE, 2]
        assert await gathering.reply(command("GET", "alone")) == "alone"
    assert server.together == [AT_ONCE, 2, 1]


async def test_the_error_of_one_call_is_that_of_its_caller_and_a_lost_connection_that_of_all() -> (
    None
):
    gathering = Gathering(Server().replies)
    async with asyncio.timeout(LIMIT_S):
        for keys, errors in (
            (("a", "one", "b"), (str, KeyError, str)),
            (("a", "all", "b"), (ConnectionError,) * 3),
        ):
            results = await asyncio.gather(
                *(gathering.reply(command("GET", key)) for key in keys), return_exceptions=True
            )
            assert tuple(map(type, results)) == errors


async def test_a_caller_that_goes_away_stops_no_other_one() -> None:
    server = Server()
    server.may_answer.clear()
    gathering = Gathering(server.replies)
    gone, stays = (asyncio.create_task(gathering.reply(command("GET", key))) for key in "ab")
    async with asyncio.timeout(LIMIT_S):
        await server.asked.wait()
        gone.cancel()
        server.may_answer.set()
        assert await stays == "b"
    assert gone.cancelled()

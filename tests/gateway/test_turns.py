"""What keeps the event loop free when there are thousands of streams."""

from __future__ import annotations

import asyncio

import pytest

from stepwire_gateway.hub.newcomers import A_TURN, Newcomers
from stepwire_gateway.hub.timer_wheel import TICK_S, TimerWheel

pytestmark = pytest.mark.anyio

LIMIT_S = 30


async def test_of_those_that_come_at_once_a_few_begin_in_each_turn_in_their_order() -> None:
    newcomers, begun = Newcomers(), list[int]()
    before = 0

    async def come(number: int) -> None:
        await newcomers.turn()
        begun.append(number)

    count = 5 * A_TURN + 1
    tasks = [asyncio.create_task(come(number)) for number in range(count)]
    async with asyncio.timeout(LIMIT_S):
        while len(begun) < count:
            await asyncio.sleep(0)
            # One turn may see the ends of two: those that were let in, and those that found room.
            assert len(begun) - before <= 2 * A_TURN
            before = len(begun)
        await asyncio.gather(*tasks)
    assert begun == list(range(count))


async def test_a_newcomer_that_goes_away_while_it_waits_takes_no_turn() -> None:
    newcomers = Newcomers()
    tasks = [asyncio.create_task(newcomers.turn()) for _ in range(3 * A_TURN)]
    await asyncio.sleep(0)
    for gone in tasks[A_TURN : 2 * A_TURN]:
        gone.cancel()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*tasks[2 * A_TURN :])


class Looked:
    """Notes when it is looked at, as often as it says."""

    def __init__(self, every_s: float, times: int) -> None:
        self._every_s = every_s
        self._left = times
        self.at_s: list[float] = []
        self.over = asyncio.Event()

    def on_time(self, now_s: float) -> float | None:
        self.at_s.append(now_s)
        self._left -= 1
        if self._left:
            return now_s + self._every_s
        self.over.set()
        return None


async def test_what_is_due_is_looked_at_and_not_before() -> None:
    wheel, loop = TimerWheel(), asyncio.get_running_loop()
    begun_s = loop.time()
    late, early = Looked(0.0, 3), Looked(0.0, 1)
    wheel.add(late, begun_s + 4 * TICK_S)
    # It is earlier than what the wheel waits for.
    wheel.add(early, begun_s + TICK_S)
    async with asyncio.timeout(LIMIT_S):
        await late.over.wait()
    assert early.at_s[0] >= begun_s + TICK_S
    assert early.at_s[0] < late.at_s[0]
    assert len(early.at_s) == 1
    assert late.at_s[0] >= begun_s + 4 * TICK_S
    assert late.at_s[2] - late.at_s[0] >= 2 * TICK_S


async def test_one_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def on_time(self, now_s: float) -> float | None:
            raise ZeroDivisionError(now_s)

    wheel, now_s = TimerWheel(), asyncio.get_running_loop().time()
    others = [Looked(TICK_S, 2) for _ in range(2)]
    for timed in (others[0], Failing(), others[1]):
        wheel.add(timed, now_s + TICK_S)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(one.over.wait() for one in others))
    assert [len(one.at_s) for one in others] == [2, 2]
    assert "a stream could not be looked at" in caplog.text


async def test_thousands_that_are_due_at_once_leave_the_loop_its_turns() -> None:
    wheel, loop = TimerWheel(), asyncio.get_running_loop()
    many = [Looked(0.0, 1) for _ in range(2_000)]
    for one in many:
        wheel.add(one, loop.time() + TICK_S)
    turns = 0
    async with asyncio.timeout(LIMIT_S):
        await many[0].over.wait()
        while not many[-1].over.is_set():
            turns += 1
            await asyncio.sleep(0)
        for one in many:
            await one.over.wait()
    assert turns > 3

"""One connection for the calls of many callers: each gets its own reply, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import ConnectionError, InvalidResponse

from stepwire_core.redis.connections import new_pool
from stepwire_core.redis.multiplexed import AT_ONCE, MultiplexedConnection
from stepwire_core.redis.sockets import Pool

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class Server:
    """Speaks as much Redis as connecting takes, and answers a call with its second word."""

    def __init__(self) -> None:
        self.received: list[list[str]] = []
        """What came over each connection: the second words, in one for what came together."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answer: Callable[[str], bytes] = lambda word: b"+" + word.encode() + b"\r\n"
        self.pool: Pool | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._asked = asyncio.Condition()
        self._answers: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        mine: list[str] = []
        self.received.append(mine)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                count = int((await reader.readuntil())[1:])
                words = [await self._word(reader) for _ in range(count)]
                if words[0] == "CLIENT":
                    writer.write(b"+OK\r\n")
                    continue
                async with self._asked:
                    mine.append(words[-1])
                    self._asked.notify_all()
                self._answers.append(asyncio.create_task(self._say(writer, words[-1])))

    async def _say(self, writer: asyncio.StreamWriter, word: str) -> None:
        # Tasks that wait for one event go on in the order in which they have come.
        await self.may_answer.wait()
        writer.write(self.answer(word))

    async def _word(self, reader: asyncio.StreamReader) -> str:
        size = int((await reader.readuntil())[1:])
        return (await reader.readexactly(size + 2))[:-2].decode()

    async def asked(self, count: int) -> None:
        """Return when so many calls have come."""
        async with asyncio.timeout(LIMIT_S), self._asked:
            await self._asked.wait_for(lambda: sum(map(len, self.received)) >= count)

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Server, MultiplexedConnection]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.pool = new_pool(f"redis://127.0.0.1:{port}/0")
    connection = MultiplexedConnection(server.pool)
    async with listening, asyncio.timeout(LIMIT_S):
        try:
            yield server, connection
        finally:
            server.may_answer.set()
            await connection.aclose()
            server.cut()


def ask(
    connection: MultiplexedConnection, word: object, *, within_s: float = LIMIT_S
) -> asyncio.Future[object]:
    until = asyncio.get_running_loop().time() + within_s
    return connection.ask(("GET", str(word)), until)


async def test_each_caller_gets_its_own_reply_over_one_connection() -> None:
    async with served() as (server, connection):
        asked = [ask(connection, number) for number in range(20)]
        assert await asyncio.gather(*asked) == [str(number).encode() for number in range(20)]
        assert await ask(connection, "again") == b"again"
        assert len(server.received) == 1


async def test_the_reply_of_a_caller_that_was_cancelled_reaches_no_other_one() -> None:
    async with served() as (server, connection):
        server.may_answer.clear()
        asked = [ask(connection, number) for number in range(3)]
        await server.asked(1)
        asked[0].cancel()
        asked[1].cancel()
        after = ask(connection, "after")
        server.may_answer.set()
        assert [await asked[2], await after] == [b"2", b"after"]
        assert len(server.received) == 1


async def test_no_more_than_so_many_calls_are_on_their_way() -> None:
    async with served() as (server, connection):
        server.may_answer.clear()
        asked = [ask(connection, number) for number in range(2 * AT_ONCE + 1)]
        await server.asked(AT_ONCE)
        await asyncio.sleep(0)
        assert sum(map(len, server.received)) == AT_ONCE
        server.may_answer.set()
        expected = [str(number).encode() for number in range(2 * AT_ONCE + 1)]
        assert await asyncio.gather(*asked) == expected


async def test_after_a_call_whose_time_is_over_its_connection_gets_no_other_one() -> None:
    async with served() as (server, connection):
        server.may_answer.clear()
        patient, impatient = ask(connection, "patient"), ask(connection, "impatient", within_s=0.05)
        assert isinstance(await impatient, TimeoutError)
        later = ask(connection, "later")
        await server.asked(2)
        assert not patient.done()
        server.may_answer.set()
        # Calls that were sent before keep their own time limits.
        assert [await patient, await later] == [b"patient", b"later"]
        assert server.received == [["patient", "impatient"], ["later"]]


async def test_calls_of_a_connection_that_breaks_fail_and_the_next_one_connects_anew() -> None:
    async with served() as (server, connection):
        server.may_answer.clear()
        asked = [ask(connection, number) for number in range(3)]
        await server.asked(1)
        server.cut()
        for reply in await asyncio.gather(*asked):
            assert isinstance(reply, ConnectionError)
        server.may_answer.set()
        assert await ask(connection, "next") == b"next"


async def test_what_nobody_has_asked_for_is_no_reply_to_the_next_call() -> None:
    async with served() as (server, connection):
        server.answer = lambda word: b"+" + word.encode() + b"\r\n+more\r\n"
        assert await ask(connection, "one") == b"one"
        server.answer = lambda word: b"+" + word.encode() + b"\r\n"
        assert await ask(connection, "two") == b"two"


@pytest.mark.parametrize("said", [b"?\r\n", b"*x\r\n"])
async def test_what_is_no_reply_fails_all_that_wait_behind_it(said: bytes) -> None:
    async with served() as (server, connection):
        server.answer = lambda _: said
        replies = await asyncio.gather(ask(connection, "one"), ask(connection, "two"))
        assert all(isinstance(reply, InvalidResponse) for reply in replies)


async def test_an_error_is_the_reply_to_its_own_call_alone() -> None:
    async with served() as (server, connection):
        server.answer = lambda word: (
            b"-ERR " + word.encode() + b"\r\n" if word == "bad" else b":1\r\n"
        )
        good, bad, behind = await asyncio.gather(*(ask(connection, w) for w in ("a", "bad", "b")))
        assert (good, str(bad), behind) == (1, "bad", 1)
        assert len(server.received) == 1


async def test_closing_fails_what_waits() -> None:
    async with served() as (server, connection):
        server.may_answer.clear()
        asked = ask(connection, "one")
        await server.asked(1)
        unsent = ask(connection, "two")
        await connection.aclose()
        assert isinstance(await asked, ConnectionError)
        assert isinstance(await unsent, ConnectionError)


async def test_a_connection_that_is_lost_while_it_is_probed_is_made_anew() -> None:
    """After a server was killed, its connections are probed first, as after a long silence."""
    async with served() as (server, connection):
        assert await ask(connection, "before") == b"before"
        assert server.pool is not None
        server.pool.marks.suspect()
        server.may_answer.clear()
        asked = [ask(connection, number) for number in range(3)]
        await server.asked(2)
        assert server.received[0][-1] == "PING"
        server.cut()
        server.may_answer.set()
        assert await asyncio.gather(*asked) == [b"0", b"1", b"2"]
        assert await ask(connection, "after") == b"after"


async def test_after_it_was_closed_a_call_fails_and_connects_to_nothing() -> None:
    async with served() as (server, connection):
        assert await ask(connection, "before") == b"before"
        await connection.aclose()
        assert isinstance(await ask(connection, "late"), ConnectionError)
        assert server.received == [["before"]]

"""One connection for the calls of many callers.

A connection of a pool is lent to one call at a time. Of what a short call costs then, most is the
lending: a lock, a look at the socket, two time limits, a write and a read of its own. Here all
calls of one turn of the event loop go out in one write, and the replies, which come in the order of
the calls, are handed to the callers as they arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis.asyncio import connection
from redis.exceptions import ConnectionError, InvalidResponse, RedisError

from stepwire_core.redis.failures import condemns
from stepwire_core.redis.sockets import PROBE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire_core.redis.commands import Argument
    from stepwire_core.redis.sockets import Marks, Pool, Watched

AT_ONCE: Final = 100
"""The most calls that wait for their replies on one connection: each may have a large one, which
the server keeps until it is read. The others wait here."""

OPEN_S: Final = 10.0
"""How long connecting may take, with all that the server is asked in the beginning."""

_TICK_S: Final = 0.1
"""How often time limits are looked at."""

_INCOMPLETE: Final = object()

_PING: Final = b"*1\r\n$4\r\nPING\r\n"

# A class method, which makes an error of redis-py of the first word of a reply.
_error_of: Final = connection.DefaultParser.parse_error


@dataclass(slots=True, eq=False)
class _Asked:
    """A call, and who awaits its reply: an error of the server, or of the connection, is the result
    of the future, so that one which nobody awaits any more is not reported as lost."""

    packed: bytes
    reply: asyncio.Future[Any]
    until: float


class MultiplexedConnection:
    """A connection to the server of a pool that many callers share, made anew when it is of no use.

    A caller that is cancelled, or whose time is over, takes nothing from the others: its reply is
    dropped when it comes, and can reach no other one. After a call whose time was over nothing more
    is sent over its connection; what was sent before has its own time to be answered.

    Only for calls that the server answers at once: one that blocks would hold up all behind it.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[_Asked] = deque()
        self._line: _Line | None = None
        self._retired: set[_Line] = set()
        self._is_called = self._is_closed = False
        self._opening: asyncio.Task[None] | None = None
        self._ticking: asyncio.TimerHandle | None = None

    def ask(self, words: Sequence[Argument], until: float) -> asyncio.Future[Any]:
        """The reply to one call, or the error that it came to, as a result; ``until`` is a time of
        the event loop, after which that is a ``TimeoutError``.

        Raises:
            UnicodeError: a word cannot be encoded.
        """
        loop = asyncio.get_running_loop()
        packed = hiredis.pack_command(_split(words))  # type: ignore[arg-type]
        asked = _Asked(packed, loop.create_future(), until)
        if self._is_closed:
            # A connection that was made now would never be closed.
            asked.reply.set_result(ConnectionError("the connection was closed"))
            return asked.reply
        self._waiting.append(asked)
        if not self._is_called:
            self._is_called = True
            loop.call_soon(self._write_together)
        if self._ticking is None:
            self._ticking = loop.call_later(_TICK_S, self._tick)
        return asked.reply

    async def aclose(self) -> None:
        """Close its connections; what still waits fails, and what comes later."""
        self._is_closed = True
        error = ConnectionError("the connection was closed")
        self._fail_waiting(error)
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for line in self._lines:
            self._drop(line, error)

    @property
    def _lines(self) -> list[_Line]:
        return [*self._retired] if self._line is None else [self._line, *self._retired]

    def _write_together(self) -> None:
        self._is_called = False
        self._write()

    def _write(self) -> None:
        """Send what waits, as far as it may be on its way at a time."""
        while self._waiting and self._waiting[0].reply.done():
            self._waiting.popleft()
        if self._opening is not None or not self._waiting:
            return
        line = self._line
        if line is None or not line.is_ready:
            self._opening = asyncio.get_running_loop().create_task(self._make_ready())
            return
        some: list[_Asked] = []
        while self._waiting and line.room > len(some):
            asked = self._waiting.popleft()
            if not asked.reply.done():
                some.append(asked)
        if some:
            line.send(some)

    async def _make_ready(self) -> None:
        """Have a connection over which an answer can come, then send what waits."""
        try:
            line = self._line
            # It may be lost while it is asked, and is dropped then.
            if line is not None and not await line.answers() and self._line is line:
                self._retire(line)
            if self._line is None:
                self._line = await self._opened()
        except Exception as error:  # noqa: BLE001 - it is raised where each of them waits
            self._fail_waiting(error)
        finally:
            if self._opening is asyncio.current_task():
                self._opening = None
        self._write()

    async def _opened(self) -> _Line:
        made = self._pool.make_separate()
        try:
            async with asyncio.timeout(OPEN_S):
                await made.connect()
        except BaseException:
            await made.disconnect(nowait=True)
            raise
        return _Line(made, self._lost, self._write)

    def _retire(self, line: _Line) -> None:
        """Send nothing more over it; what was sent may still be answered."""
        if line is self._line:
            self._line = None
        self._retired.add(line)
        if line.is_idle:
            self._drop(line, ConnectionError("the connection is of no use any more"))

    def _drop(self, line: _Line, error: Exception) -> None:
        """Close it; what still waits for replies over it fails."""
        if line is self._line:
            self._line = None
        self._retired.discard(line)
        line.abort(error)

    def _lost(self, line: _Line, error: Exception) -> None:
        """It was closed, or what comes over it is not a reply."""
        self._drop(line, error)
        self._write()

    def _tick(self) -> None:
        """End the calls whose time is over."""
        self._ticking = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for line in self._lines:
            if line.end_overdue(now):
                # It is silent, or busy for too long.
                line.marks.suspect()
                self._retire(line)
            elif line in self._retired and line.is_idle:
                self._drop(line, ConnectionError("the connection is of no use any more"))
        if _end_overdue(self._waiting, now) and self._opening is not None:
            # The others begin anew.
            self._opening.cancel()
            self._opening = None
            self._write()
        if self._waiting or self._retired or (self._line is not None and not self._line.is_idle):
            self._ticking = loop.call_later(_TICK_S, self._tick)

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        _settle(waiting, error)


class _Line(asyncio.Protocol):
    """A connection that redis-py has opened."""

    def __init__(
        self,
        connection: Watched,
        lost: Callable[[_Line, Exception], object],
        has_room: Callable[[], object],
    ) -> None:
        self.marks: Final[Marks] = connection.marks
        self._connection = connection
        self._lost = lost
        self._has_room = has_room
        self._sent: deque[_Asked] = deque()
        self._is_paused = self._is_closed = False
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=_error_of, notEnoughData=_INCOMPLETE
        )
        self._transport = connection.handed_over(self)

    @property
    def room(self) -> int:
        """How many calls may still be sent."""
        return 0 if self._is_paused else AT_ONCE - len(self._sent)

    @property
    def is_idle(self) -> bool:
        """Whether no caller waits for a reply."""
        return all(asked.reply.done() for asked in self._sent)

    @property
    def is_ready(self) -> bool:
        """Whether it may be used without asking whether the server is still there."""
        made = self._connection
        return (
            not self._is_closed
            and self.marks.is_current(made.made_at)
            and self.marks.is_fresh(made.heard_at)
            and not made.must_look
        )

    async def answers(self) -> bool:
        """Whether it may be used, if that is not clear."""
        made = self._connection
        await made.look()
        if self._is_closed or not self.marks.is_current(made.made_at):
            return False
        if self.marks.is_fresh(made.heard_at):
            return True
        if self._sent:
            # It has been silent although something was asked.
            return False
        loop = asyncio.get_running_loop()
        ping = _Asked(_PING, loop.create_future(), loop.time() + PROBE_S)
        self.send([ping])
        try:
            async with asyncio.timeout(PROBE_S):
                reply = await ping.reply
        except TimeoutError:
            self.marks.suspect()
            return False
        # MISCONF, say: it answers.
        return not isinstance(reply, Exception) or not (
            isinstance(reply, OSError | ConnectionError) or condemns(reply)
        )

    def send(self, some: Sequence[_Asked]) -> None:
        """Send calls, in one write."""
        self._sent.extend(some)
        self._transport.write(b"".join([asked.packed for asked in some]))

    def end_overdue(self, now: float) -> bool:
        """End the calls whose time is over; whether there are some."""
        return _end_overdue(self._sent, now)

    def abort(self, error: Exception) -> None:
        """Close it at once; what still waits fails."""
        self._is_closed = True
        self._transport.abort()
        self._connection.let_go()
        sent, self._sent = self._sent, deque()
        _settle(sent, error)

    # -- as a protocol of asyncio ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._connection.heard_at = time.monotonic()
        self._reader.feed(data)
        if (error := self._hand_out()) is None:
            self._has_room()
        else:
            self._lost(self, error)

    def _hand_out(self) -> Exception | None:
        """Give each caller its reply; why what comes behind them is of no use, if it is not."""
        gets, sent = self._reader.gets, self._sent
        try:
            while (reply := gets()) is not _INCOMPLETE:
                if not sent:
                    return InvalidResponse("the server has sent what no call has asked for")
                future = sent.popleft().reply
                if not future.done():
                    future.set_result(reply)
                if isinstance(reply, Exception) and not self.marks.heard_in(reply):
                    # LOADING, say, after which redis-py closes a connection, too.
                    return reply
        except (RedisError, UnicodeError) as error:
            return error
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            self.marks.suspect()
            self._lost(self, ConnectionError(f"Connection closed by server: {exc or 'its end'}"))

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._has_room()


def _split(words: Sequence[Argument]) -> tuple[Argument, ...]:
    """A command of two words is written as one: ``SCRIPT LOAD``."""
    name = words[0]
    if isinstance(name, str) and " " in name:
        return (*name.split(), *words[1:])
    return tuple(words)


def _end_overdue(some: Sequence[_Asked] | deque[_Asked], now: float) -> bool:
    overdue = [asked for asked in some if asked.until <= now and not asked.reply.done()]
    _settle(overdue, TimeoutError())
    return bool(overdue)


def _settle(some: Sequence[_Asked] | deque[_Asked], error: Exception) -> None:
    for asked in some:
        if not asked.reply.done():
            asked.reply.set_result(error)

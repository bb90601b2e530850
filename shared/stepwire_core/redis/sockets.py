"""Connections that notice when they are of no use any more: silent, or to the wrong server.

A pool of redis-py finds out that a connection was closed, not that nothing comes back over it (a
NAT that has forgotten it, a host that is paused), nor that its server was demoted.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from redis import ConnectionPool as SyncConnectionPool
from redis import connection as blocking
from redis.asyncio import BlockingConnectionPool, connection
from redis.exceptions import ConnectionError, RedisError, ResponseError

from stepwire_core.redis.failures import condemns
from stepwire_core.values.addresses import RedisAddress

if TYPE_CHECKING:
    # They stand before another class, whose methods these are.
    _Asyncio = connection.AbstractConnection
    _Blocking = blocking.AbstractConnection
else:
    _Asyncio = _Blocking = object

CONNECT_TIMEOUT_S: Final = 3.0

IDLE_S: Final = 2.0
"""A connection over which nothing has come for this long is asked before it is used."""

PROBE_S: Final = 2.0
"""How long its answer may take."""

LOOK_S: Final = 2.0
"""How often a locator is asked whether the server is another one by now."""

LOOK_SHARE: Final = 10
"""One that takes long to answer is asked less often: so many times as long passes in between."""

_KEEPALIVE: Final = {
    # Below the shortest time after which common NATs and load balancers forget a connection.
    "TCP_KEEPIDLE": 20,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    # Milliseconds until unacknowledged data breaks the connection: a server that is merely busy
    # does acknowledge.
    "TCP_USER_TIMEOUT": 5_000,
}


def address_parts(url: str) -> dict[str, Any]:
    """What redis-py finds in an address: ``host``, ``port``, ``db``, ``username``, ``path`` of a
    socket; what the address does not name is missing. Of several hosts there is none."""
    address = RedisAddress.of(url)
    if not address.hosts:
        return dict(connection.parse_url(address.client_url))
    parts = dict(connection.parse_url(address.server("any", 1)))
    del parts["host"], parts["port"]
    return parts


class Locator(Protocol):
    """Tells where the server is, for connections whose address is not enough."""

    async def locate(self) -> tuple[str, int]:
        """Host and port, as of now.

        Raises:
            RedisError, OSError: the address cannot be found now.
        """
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class BlockingLocator(Protocol):
    """The same for blocking connections."""

    def locate(self) -> tuple[str, int]: ...

    def close(self) -> None: ...


def socket_options(url: str) -> dict[str, Any]:
    """How long connecting may take, and that a connection which has died is noticed."""
    options: dict[str, Any] = {"socket_connect_timeout": CONNECT_TIMEOUT_S}
    # A socket of this machine has no keepalive, and its connection does not take the word.
    if url.startswith("unix:"):
        return options
    known = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if _has(name)}
    return options | {"socket_keepalive": True, "socket_keepalive_options": known}


def _has(option: str) -> bool:
    return hasattr(socket, option)


class Marks:
    """The findings of each connection of a pool that hold for all of them."""

    def __init__(self) -> None:
        self.condemned_at = self.suspected_at = float("-inf")
        self._look_at = float("-inf")

    @property
    def is_look_due(self) -> bool:
        """Whether it is time to ask where the server is."""
        return time.monotonic() >= self._look_at

    def begin_look(self) -> bool:
        """Whether it is time for that; then the others go on without."""
        if not self.is_look_due:
            return False
        self._look_at = time.monotonic() + LOOK_S
        return True

    def end_look(self, began_at: float) -> None:
        """The look that began then is over."""
        now = time.monotonic()
        self._look_at = now + max(LOOK_S, LOOK_SHARE * (now - began_at))

    def condemn(self) -> None:
        """All connections that were made before now lead to the wrong server."""
        self.condemned_at = time.monotonic()

    def suspect(self) -> None:
        """One has broken, or said nothing in time: the others have to answer before they are
        used."""
        self.suspected_at = time.monotonic()

    def heard_in(self, error: BaseException) -> bool:
        """Learn from what reading a reply has raised; whether the server has said anything.

        A cancellation counts as silence: it may be that of a time limit.
        """
        if not isinstance(error, ResponseError):
            self.suspect()
            return False
        if condemns(error):
            self.condemn()
        return True

    def is_current(self, made_at: float) -> bool:
        """Whether a connection of that time may be used."""
        return made_at > self.condemned_at

    def is_fresh(self, heard_at: float) -> bool:
        """Whether one over which something came then need not be asked."""
        return heard_at > self.suspected_at and time.monotonic() - heard_at < IDLE_S


class Watched(_Asyncio):
    """Notes when it was made, when something came, and what that says about its pool."""

    def __init__(self, *, marks: Marks, locator: Locator | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.marks: Final = marks
        self.made_at = self.heard_at = float("-inf")
        self._locator = locator

    async def connect(self) -> None:
        if not self.is_connected:
            # Before: what is found out meanwhile counts for this one, too.
            self.made_at = self.heard_at = time.monotonic()
            if self._locator is not None:
                self.host, self.port = await self._locator.locate()
            await super().connect()  # type: ignore[no-untyped-call]

    async def disconnect(self, nowait: bool = False) -> None:
        if nowait and self._writer is not None:
            # The unsent rest is of no use any more; a mere close would wait until it is sent.
            self._writer.transport.abort()
        await super().disconnect(nowait)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            response = await super().read_response(*args, **kwargs)
        except BaseException as error:
            if self.marks.heard_in(error):
                self.heard_at = time.monotonic()
            raise
        self.heard_at = time.monotonic()
        return response

    async def is_usable(self) -> bool:
        """Whether what is sent next can be answered; asks the server if that is not clear."""
        await self.look()
        if not self.marks.is_current(self.made_at):
            return False
        if self.marks.is_fresh(self.heard_at):
            return True
        try:
            async with asyncio.timeout(PROBE_S):
                await self.send_command("PING", check_health=False)
                await self.read_response()
        except ResponseError as error:
            # MISCONF, say: it answers.
            return not condemns(error)
        except (RedisError, OSError):
            return False
        return True

    @property
    def must_look(self) -> bool:
        """Whether :meth:`look` would ask."""
        return self._locator is not None and self.marks.is_look_due

    async def look(self) -> None:
        """Ask now and then whether the server is another one by now.

        One that is cut off from its replicas takes writes as if nothing had happened, and they are
        lost when it is reached again: so those who know are asked.
        """
        if self._locator is None or not self.marks.begin_look():
            return
        began_at = time.monotonic()
        with suppress(RedisError, OSError):
            if await self._locator.locate() != (self.host, self.port):
                self.marks.condemn()
        self.marks.end_look(began_at)

    def handed_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Its transport, of which ``protocol`` hears from now on instead of redis-py. After that
        has closed it: :meth:`let_go`."""
        if self._writer is None:
            raise ConnectionError("the connection was closed while it was made")
        transport = cast("asyncio.Transport", self._writer.transport)
        transport.set_protocol(protocol)
        return transport

    def let_go(self) -> None:
        """redis-py has nothing to close any more."""
        self._parser.on_disconnect()
        self._reader = self._writer = None


class _Tcp(Watched, connection.Connection):
    pass


class _Tls(Watched, connection.SSLConnection):
    pass


class _Unix(Watched, connection.UnixDomainSocketConnection):
    pass


_WATCHED: Final[dict[type, type[Watched]]] = {
    connection.Connection: _Tcp,
    connection.SSLConnection: _Tls,
    connection.UnixDomainSocketConnection: _Unix,
}


class Pool(BlockingConnectionPool):
    """Hands out connections that answer, and lead to the server at its address.

    One that is silent is given up after :data:`PROBE_S`; a reply that only a server which is not
    the primary any more gives (:func:`condemns`) closes them all.
    """

    def __init__(
        self,
        *,
        connection_class: type = connection.Connection,
        max_connections: int,
        locator: Locator | None = None,
        **kwargs: Any,
    ) -> None:
        """With a ``locator`` each connection leads to where that says the server is; it is closed
        with the pool."""
        self.marks: Final = Marks()
        self._locator = locator
        super().__init__(
            max_connections,
            connection_class=_WATCHED[connection_class],
            marks=self.marks,
            locator=locator,
            **kwargs,
        )

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if self._locator is not None and inuse_connections:
            await self._locator.aclose()

    def make_separate(self) -> Watched:
        """A connection that the pool does not hand out, made as its own are; what these tell when
        they are made it does not tell."""
        kwargs: dict[str, Any] = {**self.connection_kwargs, "redis_connect_func": None}
        made = self.connection_class(**kwargs)
        return cast("Watched", made)

    async def ensure_connection(self, connection: connection.AbstractConnection) -> None:
        if connection.is_connected and not await cast("Watched", connection).is_usable():
            # The finding of one holds for the others: none of them waits as long.
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


class _SyncWatched(_Blocking):
    """The same for a blocking client."""

    def __init__(
        self, *, marks: Marks, locator: BlockingLocator | None = None, **kwargs: Any
    ) -> None:
        self.marks: Final = marks
        self.made_at = self.heard_at = float("-inf")
        self._locator = locator
        super().__init__(**kwargs)

    def connect(self) -> None:
        if self._sock is None:
            self.made_at = self.heard_at = time.monotonic()
            if self._locator is not None:
                self.host, self.port = self._locator.locate()
            super().connect()  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            response = super().read_response(*args, **kwargs)  # type: ignore[no-untyped-call]
        except BaseException as error:
            if self.marks.heard_in(error):
                self.heard_at = time.monotonic()
            raise
        self.heard_at = time.monotonic()
        return response

    def check_health(self) -> None:
        # redis-py asks for it before it sends something.
        if self._locator is not None and self.marks.begin_look():
            self._look(self._locator)
        if self.marks.is_current(self.made_at) and self.marks.is_fresh(self.heard_at):
            return
        if not (self.marks.is_current(self.made_at) and self._answers()):
            self.disconnect()  # type: ignore[no-untyped-call]
            self.connect()

    def _look(self, locator: BlockingLocator) -> None:
        began_at = time.monotonic()
        with suppress(RedisError, OSError):
            if locator.locate() != (self.host, self.port):
                self.marks.condemn()
        self.marks.end_look(began_at)

    def _answers(self) -> bool:
        self._answer_within(PROBE_S)
        try:
            self._send_ping()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return not condemns(error)
        except (RedisError, OSError):
            return False
        finally:
            self._answer_within(self.socket_timeout)
        return True

    def _answer_within(self, limit_s: float | None) -> None:
        # By its type in redis-py it is always None.
        connected = cast("socket.socket | None", self._sock)
        if connected is not None:
            connected.settimeout(limit_s)


class _SyncTcp(_SyncWatched, blocking.Connection):
    pass


class _SyncTls(_SyncWatched, blocking.SSLConnection):
    pass


class _SyncUnix(_SyncWatched, blocking.UnixDomainSocketConnection):
    pass


_SYNC_WATCHED: Final[dict[type, type[_SyncWatched]]] = {
    blocking.Connection: _SyncTcp,
    blocking.SSLConnection: _SyncTls,
    blocking.UnixDomainSocketConnection: _SyncUnix,
}


class SyncPool(SyncConnectionPool):
    """The same for a blocking client."""

    def __init__(
        self,
        *,
        connection_class: type = blocking.Connection,
        locator: BlockingLocator | None = None,
        **kwargs: Any,
    ) -> None:
        self.marks: Final = Marks()
        self._locator = locator
        watched = cast("type[blocking.Connection]", _SYNC_WATCHED[connection_class])
        super().__init__(watched, marks=self.marks, locator=locator, **kwargs)

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if self._locator is not None and inuse_connections:
            self._locator.close()

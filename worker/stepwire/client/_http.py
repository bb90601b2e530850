"""How requests go out: two ways behind one interface, so that all else is written once."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol, TypeAlias, TypeVar

import httpx

if TYPE_CHECKING:
    from types import TracebackType


T = TypeVar("T")

TokenReason: TypeAlias = Literal["first", "expiring", "refused"]
"""Why a token is asked for: it is the first one, it ends soon, or the gateway has refused it."""

GetToken: TypeAlias = Callable[[TokenReason], str | None]
AsyncGetToken: TypeAlias = Callable[[TokenReason], str | Awaitable[str | None] | None]

_PIECE_BYTES: Final = 65_536

LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""A stream holds a connection for hours: a limit would let the next request wait for it."""


class Upload:
    """A file that is sent from where it stands, without holding it in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size: int | None = None
        """In bytes; None: unknown before its end."""
        self._start = 0
        if file.seekable():
            self._start = file.tell()
            self.size = file.seek(0, os.SEEK_END) - self._start
            file.seek(self._start)

    def rewind(self) -> bool:
        """Go back to where it stood; False if it cannot, so that it can be sent once alone."""
        if self.size is None:
            return False
        self.file.seek(self._start)
        return True


@dataclass(frozen=True, slots=True)
class Request:
    """A request, whole, but for its token."""

    method: str
    url: str
    timeout: httpx.Timeout
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Upload | None = None


class Answer(Protocol):
    """An answer whose body comes piece by piece."""

    @property
    def response(self) -> httpx.Response: ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        ...

    async def read(self) -> None:
        """Read the body whole, for ``response.json()``."""


class Http(Protocol):
    """Sends requests, waits, and asks for tokens.

    The asynchronous one awaits. The coroutines of the blocking one never suspend, so
    :func:`finished` gets their results without an event loop.
    """

    @property
    def lock(self) -> AbstractAsyncContextManager[object]:
        """Held while a token is asked for."""
        ...

    def send(self, request: Request) -> AbstractAsyncContextManager[Answer]:
        """The answer, whose body is not read yet.

        Raises:
            httpx.TransportError: there is none.
        """
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def asked(self, get_token: AsyncGetToken, reason: TokenReason) -> str | None:
        """What ``get_token`` says."""
        ...

    async def close(self) -> None: ...


# -- awaiting -----------------------------------------------------------------------------------


class AsyncHttp:
    """Awaits; for one event loop."""

    def __init__(self, client: httpx.AsyncClient | None) -> None:
        self._is_ours = client is None
        self._client = client or httpx.AsyncClient(limits=LIMITS)
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        content = request.content
        async with self._client.stream(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=_pieces_of(content.file) if isinstance(content, Upload) else content,
            timeout=request.timeout,
            follow_redirects=False,
        ) as response:
            yield _AsyncAnswer(response)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def asked(self, get_token: AsyncGetToken, reason: TokenReason) -> str | None:
        token = get_token(reason)
        return await token if inspect.isawaitable(token) else token

    async def close(self) -> None:
        if self._is_ours:
            await self._client.aclose()


class _AsyncAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    def pieces(self) -> AsyncIterator[bytes]:
        return self.response.aiter_bytes()

    async def read(self) -> None:
        await self.response.aread()


async def _pieces_of(file: BinaryIO) -> AsyncIterator[bytes]:
    # A disk may be slow: the event loop does not wait for it.
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece


# -- blocking -----------------------------------------------------------------------------------


class BlockingHttp:
    """Blocks, behind coroutines that never suspend; threads may share it."""

    def __init__(self, client: httpx.Client | None) -> None:
        self._is_ours = client is None
        self._client = client or httpx.Client(limits=LIMITS)
        self.lock = _BlockingLock()

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        content = request.content
        with self._client.stream(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=content.file if isinstance(content, Upload) else content,
            timeout=request.timeout,
            follow_redirects=False,
        ) as response:
            yield _BlockingAnswer(response)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop runs

    async def asked(self, get_token: AsyncGetToken, reason: TokenReason) -> str | None:
        token = get_token(reason)
        if inspect.isawaitable(token):
            raise TypeError("get_token of a Client is not a coroutine function")
        return token

    async def close(self) -> None:
        if self._is_ours:
            self._client.close()


class _BlockingAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self.response.iter_bytes():
            yield piece

    async def read(self) -> None:
        self.response.read()


class _BlockingLock:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over :class:`BlockingHttp`, which never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        coroutine.close()
    raise RuntimeError("a coroutine over BlockingHttp has suspended: a fault in stepwire")


def iterated(events: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """An asynchronous generator over :class:`BlockingHttp` as a plain one."""
    try:
        while True:
            try:
                event = finished(events.__anext__())
            except StopAsyncIteration:
                return
            yield event
    finally:
        finished(events.aclose())

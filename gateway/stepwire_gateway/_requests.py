"""From bytes to requests: what uvicorn's HTTP/1.1 protocol leaves open.

docs/http.md says what is held to, with the sections of the RFCs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stepwire_gateway._exchange import CROWDED, Exchange, Outlet
from stepwire_gateway._problems import Refusals, problem_response

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MIN_BODY_BYTES_PER_S: Final = 500
"""A body that is slower than this over the body timeout is given up: a modem is faster."""

LINGER_S: Final = 30.0
LINGER_IDLE_S: Final = 5.0
"""How long a client that was refused may go on sending, at all and without sending anything."""

CROWDED_ROOM: Final = 256
"""Connections above the limit whose first request is read and answered; any more are dropped."""

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_FRAMING: Final = (b"host", b"transfer-encoding", b"content-length")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]*@)?([^/?#@]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take, of time and of memory, and how many there may be."""

    headers_timeout_s: float = 20.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    send_timeout_s: float = 30.0
    drain_s: float = 10.0
    """How long a body may still come when the process shuts down."""
    max_header_bytes: int = 32 * 1024
    max_connections: int = 11_000
    refusals: Refusals = field(default_factory=Refusals)
    """Where refusals are counted which the application does not see."""


class _Refused(Exception):
    """What came is not a request that can be answered; the connection ends with this problem."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class _Phase(Enum):
    BETWEEN = auto()
    """The last request is whole, and nothing of the next has come."""
    HEAD = auto()
    BODY = auto()
    OVER = auto()
    """The last answer is out; what still comes is dropped until the client closes."""


class RequestReader(HttpToolsProtocol):
    """Reads requests within bounds, and refuses what two parsers could read in two ways.

    Beyond uvicorn: time limits until the headers and the body are complete, a limit of header
    bytes and of connections, upgrades are ignored (RFC 9110, 7.8) instead of taking the body with
    them, trailers never become headers (RFC 9110, 6.5.1), and a connection is closed in a way that
    lets the client read the last answer (RFC 9112, 9.6).
    """

    bounds = Bounds()

    is_chunked = True
    """Whether a body of unknown length is sent in chunks."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = self.bounds.keep_alive_s  # type: ignore[assignment]
        self._application = self.app
        self._phase = _Phase.BETWEEN
        self._is_crowded = False
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._head_bytes = 0
        self._idle_bytes = 0
        self._body_bytes = 0
        self._is_held_back = False
        self._linger_s, self._linger_idle_s = LINGER_S, LINGER_IDLE_S
        self._abort_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        count = len(self.connections)
        if count > self.bounds.max_connections + CROWDED_ROOM:
            self._phase = _Phase.OVER
            self._count("too_many_connections")
            transport.abort()
            return
        self._is_crowded = count > self.bounds.max_connections
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called by the server; a body that is still coming has the drain time to arrive."""
        if self._phase is _Phase.OVER:
            self.transport.abort()
            return
        # Together with the drain time this is within the grace time.
        self._linger_s = self._linger_idle_s = min(LINGER_IDLE_S, self.bounds.drain_s / 2)
        super().shutdown()
        if self._phase is _Phase.BODY and not self.transport.is_closing():
            self._disarm()
            self._timer = self.loop.call_later(self.bounds.drain_s, self._give_up)

    # -- what the transport brings ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.OVER:
            self._linger_on()
            return
        self._unset_keepalive_if_required()
        self._has_begun, body_bytes = False, self._body_bytes
        try:
            self._parse(data)
            self._measure(len(data), self._body_bytes - body_bytes)
        except _Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserError as error:
            own = error.__context__
            if not isinstance(own, _Refused):
                own = _Refused(400, "bad_request", f"this is not HTTP/1.1: {error}")
            self._refuse(own)

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while (head_ends_at := self._feed(rest)) is not None:
            rest = rest[head_ends_at:]
            self._ignore_upgrade()

    def _feed(self, data: memoryview) -> int | None:
        """Parse it; the place where the parser stopped because a head asks for an upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offset: int = upgrade.args[0]
            return offset
        return None

    def _ignore_upgrade(self) -> None:
        """Read the head again without ``Upgrade``: the parser would take the body for what follows
        the upgrade, and cannot be told that there is none.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        fields = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), b"".join(fields))
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn does: what follows a request with 'Connection: close' is not an error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _measure(self, size: int, body_size: int) -> None:
        """Look at what has come so far of a request that is not whole.

        Raises:
            _Refused: it is too much.
        """
        if self._phase is _Phase.BETWEEN:
            if not self._has_begun and self._timer is None:
                # An empty line: no reason to wait any longer.
                self._arm()
            return
        # The parser does not show what it has of a field that has not ended yet.
        self._idle_bytes = 0 if self._has_begun or body_size else self._idle_bytes + size
        if max(self._idle_bytes, self._head_bytes) > self.bounds.max_header_bytes:
            raise self._too_long()
        if self._timer is None:
            self._arm()

    def _too_long(self) -> _Refused:
        limit = self.bounds.max_header_bytes
        setting = f"{limit} bytes (STEPWIRE_MAX_HEADER_BYTES)"
        if self._phase is _Phase.HEAD and len(self.url) > limit:
            return _Refused(414, "uri_too_long", f"the address is longer than {setting}")
        return _Refused(431, "headers_too_large", f"the header fields are larger than {setting}")

    # -- what the parser finds -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._disarm()
        self._phase, self._has_begun = _Phase.HEAD, True
        self._head_bytes = self._idle_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the body these are trailers: what has been looked at already must not change.
        if self._phase is _Phase.HEAD:
            super().on_header(name, value)
            self._head_bytes += len(name) + len(value) + len(": \r\n")

    def on_headers_complete(self) -> None:
        has_body = self._check_head()
        if self.parser.should_upgrade():
            return
        is_old = self.parser.get_http_version() == "1.0"
        if is_old:
            # RFC 9110, 10.1.1.
            self.expect_100_continue = False
        exchange = None
        if is_old or self.expect_100_continue:
            exchange = Exchange(self, self._application)
        self.app = exchange or self._application
        is_crowded = self._is_crowded and len(self.connections) > self.bounds.max_connections
        if is_crowded:
            self.scope.setdefault("extensions", {})[CROWDED] = {}
        super().on_headers_complete()
        self._disarm()
        self._phase, self._has_begun = _Phase.BODY, True
        self._body_bytes = 0
        if exchange is not None:
            exchange.cycle = self.cycle
        if is_crowded:
            self.cycle.keep_alive = False
        if has_body:
            self.cycle.transport = Outlet(self)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        # RFC 9110, 10.1.1: it need not be asked for any more.
        self.cycle.waiting_for_100_continue = False
        self._body_bytes += len(body)
        self._is_held_back = self._is_held_back or self.flow.read_paused

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._disarm()
        self._phase = _Phase.BETWEEN

    def on_response_complete(self) -> None:
        if self._phase is _Phase.OVER:
            return
        if self._phase is _Phase.BETWEEN:
            self._disarm()
        super().on_response_complete()

    def _check_head(self) -> bool:
        """Whether a body follows.

        Raises:
            _Refused: it is not known what this request is, or where it ends.
        """
        if self._head_bytes > self.bounds.max_header_bytes:
            raise self._too_long()
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if version not in _VERSIONS:
            raise _Refused(505, "version_not_supported", f"HTTP/{version}: this is HTTP/1.1")
        if method == b"CONNECT":
            raise _Refused(501, "not_implemented", "CONNECT: this is not a proxy")
        hosts, codings, lengths = map(
            self._values, (b"host", b"transfer-encoding", b"content-length")
        )
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            # RFC 9112, 3.2.
            raise _Refused(400, "bad_request", "one Host field is needed, and no more than one")
        if codings and version == "1.0":
            # RFC 9112, 6.1.
            raise _Refused(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding")
        if codings and [coding.lower() for coding in codings] != [b"chunked"]:
            raise _Refused(501, "not_implemented", "the one Transfer-Encoding is 'chunked'")
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        return bool(codings) or lengths not in ([], [b"0"])

    def _values(self, wanted: bytes) -> list[bytes]:
        return [value for name, value in self.headers if name == wanted]

    def _take_host_of_target(self) -> None:
        """The host of an address in absolute form wins over ``Host`` (RFC 9112, 3.2.2)."""
        if match := _ABSOLUTE.match(self.url):
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", match[2]))

    # -- time limits -----------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._phase is _Phase.BODY:
            self._is_held_back = self.flow.read_paused or self.cycle.waiting_for_100_continue
            look = _Look(self._body_bytes)
            self._timer = self.loop.call_later(self.bounds.body_timeout_s, self._look_at_body, look)
        else:
            self._timer = self.loop.call_later(self.bounds.headers_timeout_s, self._look_at_head)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look_at_head(self) -> None:
        self._timer = None
        if self._phase is _Phase.BETWEEN:
            if not self._is_answering:
                # A 408 would be taken for the answer to what the client is about to send.
                self.transport.close()
        elif self._is_answering:
            # We may not even be reading meanwhile.
            self._arm()
        else:
            seconds = f"{self.bounds.headers_timeout_s:g} s (STEPWIRE_HEADERS_TIMEOUT_S)"
            detail = f"the headers were not complete after {seconds}"
            self._refuse(_Refused(408, "request_timeout", detail))

    def _look_at_body(self, before: _Look) -> None:
        self._timer = None
        came = self._body_bytes - before.body_bytes
        if self._is_held_back or came >= MIN_BODY_BYTES_PER_S * self.bounds.body_timeout_s:
            # It was we who did not take it, or it moves.
            self._arm()
            return
        seconds = f"{self.bounds.body_timeout_s:g} s (STEPWIRE_BODY_TIMEOUT_S)"
        detail = f"{came} bytes of the body came in {seconds}; more than {MIN_BODY_BYTES_PER_S}/s"
        self._refuse(_Refused(408, "request_timeout", f"{detail} are needed"))

    def _give_up(self) -> None:
        detail = "the gateway is shutting down, and the body was not complete: send it again"
        self._refuse(_Refused(503, "shutting_down", detail))

    # -- the end ---------------------------------------------------------------------------------

    def _count(self, code: str) -> None:
        self.bounds.refusals[code, ""] += 1

    def _refuse(self, refused: _Refused) -> None:
        """Answer what is not a request, and close.

        Nothing is mixed into an answer that is under way, and none is given twice: the connection
        then closes without another one.
        """
        self._count(refused.code)
        is_of_body = self._phase is _Phase.BODY
        if not self._is_answering:
            if not is_of_body:
                self._answer(refused)
            self._linger()
        elif is_of_body and not self.pipeline and not self.cycle.response_started:
            # The application is told that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(refused)
            self._linger()
        else:
            self._phase = _Phase.OVER
            self._disarm()
            self.transport.close()
            self._abort_in(self.bounds.send_timeout_s)

    def _answer(self, refused: _Refused) -> None:
        response = problem_response(refused.status, refused.code, refused.detail)
        fields = [*self.server_state.default_headers, *response.raw_headers]
        fields.append((b"connection", b"close"))
        head = b"".join(b"%b: %b\r\n" % pair for pair in fields)
        self.transport.write(STATUS_LINE[refused.status] + head + b"\r\n" + bytes(response.body))

    def close_after_answer(self) -> None:
        """Close, but let a client that is still sending read the answer first."""
        if self._phase is _Phase.BETWEEN:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Closed with unread bytes, the connection would be reset, and the answer lost with it."""
        self._phase = _Phase.OVER
        self._disarm()
        self.pipeline.clear()
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write_eof()
        self._abort_at = self.loop.time() + self._linger_s
        self._abort_in(self._linger_idle_s)

    def _linger_on(self) -> None:
        self._disarm()
        self._abort_in(max(0.0, min(self._linger_idle_s, self._abort_at - self.loop.time())))

    def _abort_in(self, delay_s: float) -> None:
        self._timer = self.loop.call_later(delay_s, self.transport.abort)


@dataclass(frozen=True, slots=True)
class _Look:
    """What had come of a body when the timer was set."""

    body_bytes: int

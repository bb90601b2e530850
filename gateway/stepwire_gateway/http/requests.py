"""From bytes to requests: what uvicorn's HTTP/1.1 protocol leaves open.

docs/http.md says what is held to, with the sections of the RFCs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httptools

from stepwire_gateway.http.connection_end import Ending, Phase
from stepwire_gateway.http.exchange import CROWDED, Exchange, Outlet
from stepwire_gateway.http.framing import Refused, has_body, host_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MIN_BODY_BYTES_PER_S: Final = 500
"""A body that is slower than this over the body timeout is given up: a modem is faster."""

CROWDED_ROOM: Final = 256
"""Connections above the limit whose first request is read and answered; any more are dropped."""


class RequestReader(Ending):
    """Reads requests within bounds, and refuses what two parsers could read in two ways.

    Beyond uvicorn: time limits until the headers and the body are complete, a limit of header
    bytes and of connections, upgrades are ignored (RFC 9110, 7.8) instead of taking the body with
    them, and trailers never become headers (RFC 9110, 6.5.1).
    """

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
        self._is_crowded = False
        self._has_begun = False
        self._head_bytes = 0
        self._idle_bytes = 0
        self._body_bytes = 0
        self._is_held_back = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        count = len(self.connections)
        if count > self.bounds.max_connections + CROWDED_ROOM:
            self._phase = Phase.OVER
            self._count("too_many_connections")
            transport.abort()
            return
        self._is_crowded = count > self.bounds.max_connections
        self._arm()

    # -- what the transport brings ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.OVER:
            self._linger_on()
            return
        self._unset_keepalive_if_required()
        self._has_begun, body_bytes = False, self._body_bytes
        try:
            self._parse(data)
            self._measure(len(data), self._body_bytes - body_bytes)
        except Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserError as error:
            own = error.__context__
            if not isinstance(own, Refused):
                own = Refused(400, "bad_request", f"this is not HTTP/1.1: {error}")
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
            Refused: it is too much.
        """
        if self._phase is Phase.BETWEEN:
            if not self._has_begun and self._timer is None:
                # An empty line: no reason to wait any longer.
                self._arm()
            return
        # The parser hands over a field only when it has ended, however long it becomes.
        self._idle_bytes = 0 if self._has_begun or body_size else self._idle_bytes + size
        if max(self._idle_bytes, self._head_bytes) > self.bounds.max_header_bytes:
            raise self._too_long()
        if self._timer is None:
            self._arm()

    def _too_long(self) -> Refused:
        limit = self.bounds.max_header_bytes
        setting = f"{limit} bytes (STEPWIRE_MAX_HEADER_BYTES)"
        if self._phase is Phase.HEAD and len(self.url) > limit:
            return Refused(414, "uri_too_long", f"the address is longer than {setting}")
        return Refused(431, "headers_too_large", f"the header fields are larger than {setting}")

    # -- what the parser finds -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._disarm()
        self._phase, self._has_begun = Phase.HEAD, True
        self._head_bytes = self._idle_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the body these are trailers: what has been looked at already must not change.
        if self._phase is Phase.HEAD:
            super().on_header(name, value)
            self._head_bytes += len(name) + len(value) + len(": \r\n")

    def on_headers_complete(self) -> None:
        body_follows = self._check_head()
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
        self._phase, self._has_begun = Phase.BODY, True
        self._body_bytes = 0
        if exchange is not None:
            exchange.cycle = self.cycle
        if is_crowded:
            self.cycle.keep_alive = False
        if body_follows:
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
        self._phase = Phase.BETWEEN

    def _check_head(self) -> bool:
        """Whether a body follows.

        Raises:
            Refused: there is too much of it, or it is not known where this request ends.
        """
        if self._head_bytes > self.bounds.max_header_bytes:
            raise self._too_long()
        follows = has_body(self.parser.get_method(), self.parser.get_http_version(), self.headers)
        if not self.url.startswith(b"/") and (host := host_of(self.url)) is not None:
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", host))
        return follows

    # -- time limits -----------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._phase is Phase.BODY:
            self._is_held_back = self.flow.read_paused or self.cycle.waiting_for_100_continue
            limit_s, had = self.bounds.body_timeout_s, self._body_bytes
            self._timer = self.loop.call_later(limit_s, self._look_at_body, had)
        else:
            self._timer = self.loop.call_later(self.bounds.headers_timeout_s, self._look_at_head)

    def _look_at_head(self) -> None:
        self._timer = None
        if self._phase is Phase.BETWEEN:
            if not self._is_answering:
                # A 408 would be taken for the answer to what the client is about to send.
                self.transport.close()
        elif self._is_answering:
            # We may not even be reading meanwhile.
            self._arm()
        else:
            seconds = f"{self.bounds.headers_timeout_s:g} s (STEPWIRE_HEADERS_TIMEOUT_S)"
            detail = f"the headers were not complete after {seconds}"
            self._refuse(Refused(408, "request_timeout", detail))

    def _look_at_body(self, had_bytes: int) -> None:
        self._timer = None
        came = self._body_bytes - had_bytes
        if self._is_held_back or came >= MIN_BODY_BYTES_PER_S * self.bounds.body_timeout_s:
            # It was we who did not take it, or it moves.
            self._arm()
            return
        seconds = f"{self.bounds.body_timeout_s:g} s (STEPWIRE_BODY_TIMEOUT_S)"
        detail = f"{came} bytes of the body came in {seconds}; more than {MIN_BODY_BYTES_PER_S}/s"
        self._refuse(Refused(408, "request_timeout", f"{detail} are needed"))

"""How a connection ends: in time, and with an answer that the client can read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stepwire_gateway.http.framing import Refused
from stepwire_gateway.http.problems import REFUSALS, problem_response
from stepwire_gateway.metrics import Metrics

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

LINGER_S: Final = 30.0
LINGER_IDLE_S: Final = 5.0
"""How long a client that was refused may go on sending, at all and without sending anything."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one connection, in time and memory, and of the number of connections."""

    headers_timeout_s: float = 20.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    send_timeout_s: float = 30.0
    drain_s: float = 10.0
    """How long a body may still come when the process shuts down."""
    max_header_bytes: int = 32 * 1024
    max_connections: int = 11_000
    metrics: Metrics = field(default_factory=Metrics)
    """Where refusals are counted that the application does not see."""


class Phase(Enum):
    BETWEEN = auto()
    """The last request is whole, and nothing of the next has come."""
    HEAD = auto()
    BODY = auto()
    OVER = auto()
    """The last answer is out; what still comes is dropped until the client closes."""


class Ending(HttpToolsProtocol):
    """Refuses what is not a request, and closes so that the client can read the last answer.

    Closed with unread bytes a connection would be reset, and the answer lost with it. So what the
    client still sends is read and dropped, for a while (RFC 9112, 9.6).
    """

    bounds = Bounds()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._phase = Phase.BETWEEN
        self._timer: asyncio.TimerHandle | None = None
        self._linger_s, self._linger_idle_s = LINGER_S, LINGER_IDLE_S
        self._abort_at = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called by the server; a body that is still coming has the drain time to arrive."""
        if self._phase is Phase.OVER:
            self.transport.abort()
            return
        # Together with the drain time this is within the grace time.
        self._linger_s = self._linger_idle_s = min(LINGER_IDLE_S, self.bounds.drain_s / 4)
        super().shutdown()
        if self._phase is Phase.BODY and not self.transport.is_closing():
            self._disarm()
            self._timer = self.loop.call_later(self.bounds.drain_s, self._give_up)

    def on_response_complete(self) -> None:
        if self._phase is Phase.OVER:
            return
        if self._phase is Phase.BETWEEN:
            self._disarm()
        super().on_response_complete()

    def _give_up(self) -> None:
        detail = "the gateway is shutting down, and the body was not complete: send it again"
        self._refuse(Refused(503, "shutting_down", detail))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, code: str) -> None:
        self.bounds.metrics.add(REFUSALS, code, "")

    def _refuse(self, refused: Refused) -> None:
        """Answer what is not a request, and close.

        Nothing is mixed into an answer that is under way, and none is given twice: the connection
        then closes without another one.
        """
        self._count(refused.code)
        is_of_body = self._phase is Phase.BODY
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
            self._phase = Phase.OVER
            self._disarm()
            self.transport.close()
            self._abort_in(self.bounds.send_timeout_s)

    def _answer(self, refused: Refused) -> None:
        response = problem_response(refused.status, refused.code, refused.detail)
        fields = [*self.server_state.default_headers, *response.raw_headers]
        fields.append((b"connection", b"close"))
        head = b"".join(b"%b: %b\r\n" % pair for pair in fields)
        self.transport.write(STATUS_LINE[refused.status] + head + b"\r\n" + bytes(response.body))

    def close_after_answer(self) -> None:
        """Close, but let a client that is still sending read the answer first."""
        if self._phase is Phase.BETWEEN:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._phase = Phase.OVER
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
        # Not close: that would first wait until the client has taken all that was written.
        self._timer = self.loop.call_later(delay_s, self.transport.abort)

"""Server-Sent Events: the reading half of the HTTP API."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from stepwire_core.cursor import Cursor
from stepwire_core.errors import StoreUnavailable
from stepwire_gateway._access import CallerDep, GuardedRoute, needs
from stepwire_gateway._frames import Frame, snapshot_frame
from stepwire_gateway._problems import try_again_response
from stepwire_gateway._services import RunId, ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.settings import Settings
    from stepwire_gateway._caller import Caller
    from stepwire_gateway.hub import Reading

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["streams"], route_class=GuardedRoute)

RETRY_MS: Final = 1_000
"""A client that lost its stream comes back after this long."""

EXPIRY_SPREAD_S: Final = 10.0
EXPIRY_SPREAD_SHARE: Final = 0.2
"""Streams end this long before their token, or this part of what it has left, at the most."""

_PING: Final = ServerSentEvent(comment="ping", sep="\n")

# Only for the document: what is malformed is refused with a code of its own.
_CURSOR_FORM: Final[dict[str, Any]] = {"pattern": "^[0-9]{1,19}-[0-9]{1,19}$"}

LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        description="Wins over `after`: browsers send it.",
        json_schema_extra=_CURSOR_FORM,
    ),
]
After = Annotated[
    str,
    Query(
        description="The cursor to go on from, as `<epoch>-<seq>`.", json_schema_extra=_CURSOR_FORM
    ),
]

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The stream."}
}


@router.get("/events", response_class=EventSourceResponse, responses=_SSE)
@needs("read", stream=True)
async def session_events(
    services: ServicesDep,
    session_id: SessionId,
    caller: CallerDep,
    last_event_id: LastEventId = "",
    after: After = "",
) -> Response:
    """A session's events, live; first what the cursor has missed, or a snapshot."""
    cursor = _cursor(last_event_id, after)
    try:
        reading = await services.hub.open(session_id, cursor)
    except StoreUnavailable:
        return try_again_response()
    return _stream(reading, services.settings, caller)


@router.get(
    "/runs/{run_id}/events",
    response_class=EventSourceResponse,
    responses={**_SSE, 204: {"description": "The run is over, and the cursor is behind its end."}},
)
@needs("read", stream=True)
async def run_events(
    services: ServicesDep,
    session_id: SessionId,
    run_id: RunId,
    caller: CallerDep,
    last_event_id: LastEventId = "",
    after: After = "",
) -> Response:
    """One run's events, live; the stream ends with the run."""
    cursor = _cursor(last_event_id, after)
    try:
        ended_at = await services.log.run_ended_at(session_id, run_id)
        if ended_at is not None and cursor is not None and cursor >= ended_at:
            # The one answer after which an EventSource does not come back (WHATWG HTML, 9.2.3).
            return Response(status_code=204)
        reading = await services.hub.open(session_id, cursor)
    except StoreUnavailable:
        return try_again_response()
    return _stream(reading, services.settings, caller, _RunProjection(run_id))


def _cursor(last_event_id: str, after: str) -> Cursor | None:
    text = last_event_id or after
    return Cursor.parse(text) if text else None


class _RunProjection:
    """The frames of one run; ``over`` when its last one has passed."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.over = False

    def of(self, frames: list[Frame]) -> list[bytes]:
        """What passes of these, up to the end of the run."""
        passed = []
        for frame in frames:
            if projected := self(frame):
                passed.append(projected.encoded)
            if self.over:
                break
        return passed

    def __call__(self, frame: Frame) -> Frame | None:
        if frame.snapshot is not None:
            part = frame.snapshot.of_run(self._run_id)
            run = part.run(self._run_id)
            self.over = run is not None and run.status != "running" and not run.will_retry
            return snapshot_frame(part)
        if frame.run_id != self._run_id:
            return None
        self.over = frame.type == "run.end" and b'"will_retry":false' in frame.encoded
        return frame


def _stream(
    reading: Reading,
    settings: Settings,
    caller: Caller,
    projection: _RunProjection | None = None,
) -> EventSourceResponse:
    return EventSourceResponse(
        _encoded(reading, caller, projection),
        sep="\n",
        ping=settings.ping_s,
        ping_message_factory=lambda: _PING,
        send_timeout=settings.send_timeout_s,
    )


async def _encoded(
    reading: Reading, caller: Caller, projection: _RunProjection | None
) -> AsyncIterator[bytes]:
    """What goes out: all frames that wait leave in one write, and none after the token's end."""
    leaving = _leave_in_time(reading, caller)
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async with aclosing(reading.batches()) as batches:
            async for frames in batches:
                if caller.has_expired:
                    # A slow client was still taking what came before.
                    return
                if projection is None:
                    yield b"".join([frame.encoded for frame in frames])
                    continue
                if passed := projection.of(frames):
                    yield b"".join(passed)
                if projection.over:
                    return
        if reading.stopped:
            # This process is leaving, or the token has nearly ended: not all come back at once.
            yield f"retry: {random.randint(RETRY_MS // 2, 2 * RETRY_MS)}\n\n".encode()  # noqa: S311
    finally:
        if leaving is not None:
            leaving.cancel()
        await reading.aclose()


def _leave_in_time(reading: Reading, caller: Caller) -> asyncio.TimerHandle | None:
    """End a stream before its token ends, at a moment of its own.

    Tokens are often made in one moment, and clients that all came back in one would be many.
    """
    if caller.expires_at is None:
        return None
    left_s = max(0.0, caller.expires_at - time.time())
    spread_s = min(EXPIRY_SPREAD_S, left_s * EXPIRY_SPREAD_SHARE)
    at_s = left_s - random.uniform(0, spread_s)  # noqa: S311 - spread
    return asyncio.get_running_loop().call_later(at_s, reading.stop)

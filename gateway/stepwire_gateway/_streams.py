"""Server-Sent Events: the reading half of the HTTP API."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from stepwire_core.cursor import Cursor
from stepwire_core.errors import StoreUnavailable
from stepwire_gateway._frames import Frame, snapshot_frame
from stepwire_gateway._services import RunId, ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.settings import Settings
    from stepwire_gateway.hub import Reading

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["streams"])

RETRY_MS: Final = 1_000
"""A client that lost its stream comes back after this long."""

UNAVAILABLE_RETRY_MS: Final = 3_000

_PING: Final = ServerSentEvent(comment="ping", sep="\n")

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Wins over `after`: browsers send it.")
]
After = Annotated[str | None, Query(description="The cursor to go on from, as `<epoch>-<seq>`.")]

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The stream."}
}


@router.get("/events", response_class=EventSourceResponse, responses=_SSE)
async def session_events(
    services: ServicesDep,
    session_id: SessionId,
    last_event_id: LastEventId = None,
    after: After = None,
) -> Response:
    """A session's events, live; first what the cursor has missed, or a snapshot."""
    cursor = _cursor(last_event_id, after)
    try:
        reading = await services.hub.open(session_id, cursor)
    except StoreUnavailable:
        return _try_again()
    return _stream(reading, services.settings)


@router.get(
    "/runs/{run_id}/events",
    response_class=EventSourceResponse,
    responses={**_SSE, 204: {"description": "The run is over, and the cursor is behind its end."}},
)
async def run_events(
    services: ServicesDep,
    session_id: SessionId,
    run_id: RunId,
    last_event_id: LastEventId = None,
    after: After = None,
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
        return _try_again()
    return _stream(reading, services.settings, _RunProjection(run_id))


def _cursor(last_event_id: str | None, after: str | None) -> Cursor | None:
    text = last_event_id or after
    return Cursor.parse(text) if text else None


def _try_again() -> Response:
    """EventSource gives up for good on 503, so Redis being away is an empty stream with a delay."""
    return Response(f"retry: {UNAVAILABLE_RETRY_MS}\n\n", media_type="text/event-stream")


class _RunProjection:
    """The frames of one run; ``over`` when its last one has passed."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.over = False

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
    reading: Reading, settings: Settings, projection: _RunProjection | None = None
) -> EventSourceResponse:
    return EventSourceResponse(
        _encoded(reading, projection),
        sep="\n",
        ping=settings.ping_s,
        ping_message_factory=lambda: _PING,
        send_timeout=settings.send_timeout_s,
    )


async def _encoded(reading: Reading, projection: _RunProjection | None) -> AsyncIterator[bytes]:
    """What goes out: all frames that wait leave in one write."""
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async with aclosing(reading.batches()) as batches:
            async for frames in batches:
                if projection is None:
                    yield b"".join([frame.encoded for frame in frames])
                    continue
                passed = []
                for frame in frames:
                    if projected := projection(frame):
                        passed.append(projected.encoded)
                    if projection.over:
                        break
                if passed:
                    yield b"".join(passed)
                if projection.over:
                    return
        if reading.stopped:
            # This process is leaving; what it served comes back to the others, not all at once.
            yield f"retry: {random.randint(RETRY_MS // 2, 2 * RETRY_MS)}\n\n".encode()  # noqa: S311
    finally:
        await reading.aclose()

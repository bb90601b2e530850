"""Server-Sent Events: the reading half of the HTTP API."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import EVENT_TYPES
from stepwire_core.wire.vocabulary import CURSOR_PATTERN
from stepwire_gateway.api.event_stream import EventStream
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.problems import try_again_response
from stepwire_gateway.hub.event_filter import Selection, parse_types
from stepwire_gateway.services import RunId, Services, ServicesDep, SessionId

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["streams"], route_class=GuardedRoute)

_MARKS_PER_LOG: Final = 4
"""Of a filtered stream, the cursor is never further behind than this part of the log."""

_ANY_TYPE: Final = "|".join(map(re.escape, EVENT_TYPES))

# Only for the document: what is malformed is refused with a code of its own.
_CURSOR_FORM: Final[dict[str, Any]] = {"pattern": CURSOR_PATTERN}

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Wins over `after`: browsers send it.",
        json_schema_extra=_CURSOR_FORM,
    ),
]
After = Annotated[
    str | None,
    Query(
        description="The cursor to go on from, as `<epoch>-<seq>`.", json_schema_extra=_CURSOR_FORM
    ),
]
Types = Annotated[
    str | None,
    Query(
        description="Only these events, separated by commas. A `snapshot` always comes, and so "
        "does the last `run.end` of a run's stream.",
        json_schema_extra={"pattern": f"^({_ANY_TYPE})(,({_ANY_TYPE}))*$"},
    ),
]

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "The stream, of events as `SessionEvent`. An empty one, in which a comment "
        "says why, is to be asked for again.",
    },
    **may(400),
}


@router.get("/events", response_class=EventSourceResponse, responses=_SSE)
@needs("read", stream=True, counts="reads")
async def stream_session_events(
    services: ServicesDep,
    session_id: SessionId,
    caller: CallerDep,
    last_event_id: LastEventId = None,
    after: After = None,
    types: Types = None,
) -> Response:
    """A session's events, live; first what the cursor has missed, or a snapshot."""
    cursor = _cursor(last_event_id, after)
    selection = _selection(services, types)
    try:
        reading = await services.hub.open(session_id, cursor)
    except (StoreUnavailable, StoreRefused) as error:
        return try_again_response(error)
    return EventStream(reading, services, caller, selection)


@router.get(
    "/runs/{run_id}/events",
    response_class=EventSourceResponse,
    responses={**_SSE, 204: {"description": "The run is over, and the cursor is behind its end."}},
)
@needs("read", stream=True, counts="reads")
async def stream_run_events(
    services: ServicesDep,
    session_id: SessionId,
    run_id: RunId,
    caller: CallerDep,
    last_event_id: LastEventId = None,
    after: After = None,
    types: Types = None,
) -> Response:
    """One run's events, live; the stream ends with the run."""
    cursor = _cursor(last_event_id, after)
    selection = _selection(services, types, run_id)
    try:
        ended_at = await services.log.run_ended_at(session_id, run_id)
        if ended_at is not None and cursor is not None and cursor >= ended_at:
            # The one answer after which an EventSource does not come back (WHATWG HTML, 9.2.3).
            return Response(status_code=204)
        reading = await services.hub.open(session_id, cursor)
    except (StoreUnavailable, StoreRefused) as error:
        return try_again_response(error)
    return EventStream(reading, services, caller, selection)


def _cursor(last_event_id: str | None, after: str | None) -> Cursor | None:
    text = last_event_id or after
    return Cursor.parse(text) if text else None


def _selection(services: Services, types: str | None, run_id: str | None = None) -> Selection:
    return Selection(
        mark_every=services.settings.log_max_events // _MARKS_PER_LOG,
        run_id=run_id,
        types=parse_types(types),
    )

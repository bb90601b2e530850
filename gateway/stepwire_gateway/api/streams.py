"""Server-Sent Events: the reading half of the HTTP API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette import EventSourceResponse

from stepwire_core.errors import StepwireError, StoreRefused, StoreUnavailable
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import EVENT_TYPES
from stepwire_core.wire.vocabulary import CURSOR_PATTERN
from stepwire_gateway.api.event_stream import EventStream
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, admitted, needs
from stepwire_gateway.http.problems import error_response, try_again_response
from stepwire_gateway.hub.event_filter import Selection, parse_types
from stepwire_gateway.hub.newcomers import Newcomers
from stepwire_gateway.prefix import Prefix, route_path
from stepwire_gateway.services import RunId, Services, ServicesDep, SessionId, session_id_in_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, Receive, Scope, Send

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


_PATH: Final = re.compile(r"/v1/sessions/([^/]+)/events")

_ROUTE: Final = next(
    route
    for route in router.routes
    if isinstance(route, GuardedRoute) and route.endpoint is stream_session_events
)


class StreamDoor:
    """Answers requests for the stream of a session, without the framework's routing and parsing.

    When a gateway comes back all its clients do at once, and that machinery is most of what one of
    them costs. What decides is the same: the need of the route, its function, the answers to
    errors. Whatever is not plainly such a request goes the usual way.
    """

    def __init__(self, gateway: FastAPI, prefix: Prefix, around: Sequence[Middleware]) -> None:
        """``around`` are the middlewares that these requests pass, the outermost first."""
        self._gateway = gateway
        self._prefix = prefix
        self._newcomers = Newcomers()
        self._within: ASGIApp = self._open
        for middleware in reversed(around):
            self._within = middleware.cls(self._within, *middleware.args, **middleware.kwargs)

    def takes(self, scope: Scope) -> bool:
        """Whether it answers this request; the gateway must be running."""
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and hasattr(self._gateway.state, "services")
            and _PATH.fullmatch(self._prefix.removed_from(scope)) is not None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._within(scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._newcomers.turn()
        session_id = route_path(scope).split("/")[3]
        # As the framework's router leaves them.
        scope["route"], scope["path_params"] = _ROUTE, {"session_id": session_id}
        request = Request(scope, receive)
        try:
            response = await _stream(request, self._gateway.state.services, session_id)
        except StepwireError as error:
            response = error_response(request, error)
        await response(scope, receive, send)


async def _stream(request: Request, services: Services, session_id: str) -> Response:
    caller = await admitted(request, _ROUTE.need)
    if isinstance(caller, Response):
        return caller
    query = request.query_params
    return await stream_session_events(
        services,
        await session_id_in_path(session_id),
        caller,
        request.headers.get("last-event-id"),
        query.get("after"),
        query.get("types"),
    )

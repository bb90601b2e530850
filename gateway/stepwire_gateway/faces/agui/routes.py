"""``POST /agui``, which ``HttpAgent`` calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from stepwire_core.errors import InvalidCursor
from stepwire_core.log.event_log import LogTail
from stepwire_core.values.cursor import Cursor
from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.agui.attaching import CameBack
from stepwire_gateway.faces.agui.bodies import RunAgentInput
from stepwire_gateway.faces.agui.dialect import OLDER, Dialect, dialect_of
from stepwire_gateway.faces.agui.mapping import AgUiMapping
from stepwire_gateway.faces.agui.run_stream import AgUiStream
from stepwire_gateway.faces.agui.teller import AgUiClient
from stepwire_gateway.faces.agui.tree import application_state
from stepwire_gateway.faces.agui.turns import turn
from stepwire_gateway.faces.errors import route_saying
from stepwire_gateway.faces.events import Scope, event_of
from stepwire_gateway.hub.frames import event_frame
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.events import FaceEvent
    from stepwire_gateway.services import Services

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]


def said(problem: dict[str, Any]) -> tuple[bytes, str]:
    """``HttpAgent`` has a body of JSON as its error's ``payload``; CopilotKit shows ``message``."""
    words = {"error": problem["code"], "message": problem["detail"]}
    return json.dumps(words | problem).encode(), "application/json"


router = APIRouter(route_class=route_saying(said), include_in_schema=False, tags=["agui"])


@router.post("/agui")
@needs("write", session="body", counts="messages", fetched=True)
async def run_agent(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    body: RunAgentInput,
    last_event_id: LastEventId = None,
) -> Response:
    """Run the agent: the message is answered, or its answer is gone on with; both stream."""
    return await run(request, services, caller, body, OLDER, last_event_id)


async def run(
    request: Request,
    services: Services,
    caller: Caller,
    body: RunAgentInput,
    otherwise: Dialect,
    last_event_id: str | None,
) -> Response:
    """The stream of a run, for a client that is taken for ``otherwise`` if it tells no version."""
    cursor, is_whole = last_told(last_event_id)
    started = await turn(request, services, caller, body)
    client = client_of(body, dialect_of(body.protocolVersion, otherwise))
    scope, after = Scope(started.run_id), started.after
    for run_id in started.also:
        scope.also(run_id)
    if cursor is None:
        reading = await services.hub.open(started.session_id, after)
        mapping = AgUiMapping(client, started.run_id, settled=started.settled)
        return AgUiStream(reading, services, caller, mapping, scope, is_fresh=after is not None)
    # First the snapshot, then what leads to it: so nothing of it can be missed.
    reading = await services.hub.open(started.session_id, None)
    try:
        missed = await missed_since(services, started.session_id, cursor) if is_whole else None
    except BaseException:
        await reading.aclose()
        raise
    came_back = CameBack(cursor, missed)
    mapping = AgUiMapping(client, started.run_id, settled=started.settled, came_back=came_back)
    return AgUiStream(reading, services, caller, mapping, scope, is_fresh=False)


def client_of(body: RunAgentInput, dialect: Dialect) -> AgUiClient:
    return AgUiClient(
        body.threadId,
        body.runId,
        dialect,
        body.has,
        application_state(body.state),
        frozenset(tool.name for tool in body.tools or ()),
    )


def last_told(last_event_id: str | None) -> tuple[Cursor | None, bool]:
    """The last event of which a client has had anything, and whether that was all of it.

    Raises:
        InvalidCursor: it is not an id of ours.
    """
    if not last_event_id:
        return None, True
    cursor, is_part, part = last_event_id.partition("/")
    if is_part and not part.isdecimal():
        raise InvalidCursor(last_event_id)
    return Cursor.parse(cursor), not is_part


async def missed_since(
    services: Services, session_id: str, cursor: Cursor
) -> list[FaceEvent] | None:
    """The events after a cursor; None: the log does not reach back to it."""
    found: list[FaceEvent] = []
    while isinstance(read := await services.log.read(session_id, cursor), LogTail):
        found += [event_of(event_frame(event, services.hub.prefix)) for event in read.events]
        if not read.events or read.events[-1].cursor == read.top:
            return found
        cursor = read.events[-1].cursor
    return None

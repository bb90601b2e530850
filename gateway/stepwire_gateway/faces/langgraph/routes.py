"""``/langgraph``, as the ``apiUrl`` of ``useStream``."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.errors import route_saying
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.face_stream import FaceStream
from stepwire_gateway.faces.langgraph.commands import COMMANDS, Command
from stepwire_gateway.faces.langgraph.filters import Subscription
from stepwire_gateway.faces.langgraph.mapping import LangGraphMapping
from stepwire_gateway.faces.langgraph.state import state_of
from stepwire_gateway.faces.starting import session_of, stop
from stepwire_gateway.services import ServicesDep


def _said(problem: dict[str, Any]) -> tuple[bytes, str]:
    """Their client shows ``message``."""
    return json.dumps({"message": problem["detail"]} | problem).encode(), "application/json"


router = APIRouter(
    prefix="/langgraph/threads", route_class=route_saying(_said), include_in_schema=False
)

ThreadId = Annotated[str, Path(max_length=1000)]


@router.get("/{thread_id}/state")
@needs("read", session="body", counts="reads")
async def read_state(
    services: ServicesDep, caller: CallerDep, thread_id: ThreadId
) -> dict[str, Any]:
    """The messages so far, and whether an answer is under way."""
    session_id = session_of(caller, "read", thread_id)
    snapshot = await services.hub.snapshots.whole(session_id)
    return await state_of(snapshot, thread_id)


@router.post("/{thread_id}/stream/events")
@needs("read", session="body", counts="reads", fetched=True)
async def stream_events(
    services: ServicesDep, caller: CallerDep, thread_id: ThreadId, body: Subscription
) -> Response:
    """The thread as it is, and what happens in it, until the client leaves."""
    session_id = session_of(caller, "read", thread_id)
    reading = await services.hub.open(session_id, None)
    return FaceStream(reading, services, caller, LangGraphMapping(body), Scope())


@router.post("/{thread_id}/commands")
@needs("write", session="body", counts="messages")
async def send_command(
    request: Request, services: ServicesDep, caller: CallerDep, thread_id: ThreadId, body: Command
) -> dict[str, Any]:
    """``run.start`` and ``input.respond``; others are answered as not known."""
    session_id = session_of(caller, "write", thread_id)
    command = COMMANDS.get(body.method)
    if command is None:
        message = f"{body.method!r} is not served; known are {', '.join(COMMANDS)}"
        return {"type": "error", "id": body.id, "error": "unknown_command", "message": message}
    result = await command(request, services, caller, session_id, body.params)
    return {"type": "success", "id": body.id, "result": result}


@router.post("/{thread_id}/runs/{run_id}/cancel", status_code=204)
@needs("cancel", session="body")
async def cancel(
    services: ServicesDep, caller: CallerDep, thread_id: ThreadId, run_id: str
) -> None:
    """``stop()`` of the client."""
    await stop(services, session_of(caller, "cancel", thread_id), run_id)

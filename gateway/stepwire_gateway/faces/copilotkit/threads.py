"""Threads as CopilotKit's ``useThreads`` has them: sessions, of which the title is the name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.errors import InvalidArgument, SessionNotFound
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import emitter_producer
from stepwire_core.wire.events import title_event
from stepwire_core.wire.session_entry import as_title
from stepwire_gateway.api.lists.sessions import MOST, USUAL, list_sessions
from stepwire_gateway.api.sessions import delete_session
from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.agui.conversation import ACTIVITY
from stepwire_gateway.faces.agui.routes import said
from stepwire_gateway.faces.copilotkit.history import history
from stepwire_gateway.faces.errors import route_saying
from stepwire_gateway.faces.starting import session_of
from stepwire_gateway.http.bodies import Text
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from stepwire_core.wire.session_entry import SessionEntry

router = APIRouter(
    prefix="/copilotkit/threads", route_class=route_saying(said), include_in_schema=False
)


class ThreadChange(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: Text | None = Field(default=None, min_length=1)
    archived: bool | None = None


@router.get("")
@needs("read", session="listed", counts="reads")
async def list_threads(
    services: ServicesDep,
    caller: CallerDep,
    agent_id: Annotated[str, Query(alias="agentId")] = "default",
    limit: Annotated[int, Query(ge=1)] = USUAL,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The caller's sessions, the one with the newest activity first. All are of every agent."""
    page = await list_sessions(services, caller, min(limit, MOST), cursor)
    threads = [_thread(entry, agent_id) for entry in page.sessions]
    return {"threads": threads, "nextCursor": page.next, "joinCode": None}


@router.get("/{thread_id}/messages")
@needs("read", session="body", counts="reads")
async def read_messages(services: ServicesDep, caller: CallerDep, thread_id: str) -> dict[str, Any]:
    """The messages of a thread, as ``connect`` brings them; their inspector shows them."""
    told = await history(services, session_of(caller, "read", thread_id), thread_id)
    shown = [m for m in told["messages"] if m.get("activityType") != ACTIVITY]
    return {"messages": shown}


@router.get("/{thread_id}/state")
@needs("read", session="body", counts="reads")
async def read_state(services: ServicesDep, caller: CallerDep, thread_id: str) -> dict[str, Any]:
    """The state of a thread, as ``connect`` brings it."""
    told = await history(services, session_of(caller, "read", thread_id), thread_id)
    return {"state": told["state"]}


@router.patch("/{thread_id}")
@needs("write", session="body", counts="messages")
async def change_thread(
    services: ServicesDep, caller: CallerDep, thread_id: str, body: ThreadChange
) -> dict[str, Any]:
    """Rename a thread: its name is the title of the session."""
    session_id = session_of(caller, "write", thread_id)
    if body.name is None:
        raise InvalidArgument("only the name of a thread can be changed: sessions have no archive")
    title = as_title(body.name)
    batch = Batch(session_id, [title_event(title)], producer=emitter_producer())
    await services.log.append(batch)
    await services.hub.sessions.index.note(session_id)
    return {"id": session_id, "name": title}


@router.post("/{thread_id}/archive")
@needs("write", session="body")
async def archive_thread(caller: CallerDep, thread_id: str) -> None:
    """Sessions have no archive: the client takes its change back."""
    session_of(caller, "write", thread_id)
    raise InvalidArgument("threads cannot be archived here: delete it, or let it expire")


@router.delete("/{thread_id}", status_code=204)
@needs("admin", session="body")
async def delete_thread(
    services: ServicesDep, caller: CallerDep, thread_id: str, request: Request
) -> Response:
    """Delete a session with everything in it; one that is not there stays so."""
    del request
    session_id = session_of(caller, "admin", thread_id)
    try:
        await delete_session(services, caller, session_id)
    except SessionNotFound:
        return Response(status_code=204)
    return Response(status_code=204)


def _thread(entry: SessionEntry, agent_id: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "organizationId": "",
        "agentId": agent_id,
        "createdById": entry.subject or "",
        "name": entry.title,
        "archived": False,
        "createdAt": entry.created_at,
        "updatedAt": entry.updated_at,
        "lastRunAt": entry.updated_at,
    }

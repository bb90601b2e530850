"""``/copilotkit``, as the address of a runtime: ``<CopilotKit runtimeUrl="…/copilotkit">``."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from stepwire_core.errors import SessionNotFound
from stepwire_core.wire.kinds import RUN, STEP
from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.agui.bodies import METADATA, RunAgentInput
from stepwire_gateway.faces.agui.dialect import COPILOTKIT, dialect_of
from stepwire_gateway.faces.agui.mapping import AgUiMapping
from stepwire_gateway.faces.agui.routes import LastEventId, client_of, run, said
from stepwire_gateway.faces.agui.run_stream import AgUiStream
from stepwire_gateway.faces.answers import last_answering
from stepwire_gateway.faces.errors import route_saying
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.starting import session_of, stop
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot

AGENT: str = "default"
"""The agent that their components ask for where a page names none."""

router = APIRouter(prefix="/copilotkit", route_class=route_saying(said), include_in_schema=False)

AgentId = Annotated[str, Path(max_length=1000)]
ThreadId = Annotated[str, Path(max_length=1000)]


class StopBody(BaseModel):
    model_config = ConfigDict(extra="allow")

    runId: str | None = None  # noqa: N815 - the protocol's name


@router.get("/info")
@needs("read", session="any")
async def read_info() -> dict[str, Any]:
    """What this runtime offers: one agent, which answers to any name, and threads."""
    return {
        "version": version("stepwire"),
        "agents": {AGENT: {"name": AGENT, "className": "HttpAgent", "description": ""}},
        "audioFileTranscriptionEnabled": False,
        "mode": "sse",
        "threadEndpoints": {
            "list": True,
            "inspect": True,
            "mutations": True,
            "realtimeMetadata": False,
        },
        "a2uiEnabled": False,
        "openGenerativeUIEnabled": False,
        "telemetryDisabled": True,
    }


@router.post("/agent/{agent_id}/run")
@needs("write", session="body", counts="messages", fetched=True)
async def run_agent(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    agent_id: AgentId,
    body: RunAgentInput,
    last_event_id: LastEventId = None,
) -> Response:
    """As ``POST /agui``."""
    del agent_id
    return await run(request, services, caller, body, COPILOTKIT, last_event_id)


@router.post("/agent/{agent_id}/connect")
@needs("read", session="body", counts="reads", fetched=True)
async def connect_agent(
    services: ServicesDep, caller: CallerDep, agent_id: AgentId, body: RunAgentInput
) -> Response:
    """A whole thread, then the runs that are under way in it, to their ends.

    With ``stepwire: {follow: true}`` in the ``properties`` of the page the stream stays open, and
    also what begins later is told. A thread that is not there yet is empty.
    """
    del agent_id
    session_id = session_of(caller, "read", body.threadId)
    try:
        reading = await services.hub.open(session_id, None)
    except SessionNotFound:
        return Response(media_type="text/event-stream")
    client = client_of(body, dialect_of(body.protocolVersion, COPILOTKIT))
    asked = body.props.get("stepwire")
    follows = isinstance(asked, dict) and asked.get("follow") is True
    mapping = AgUiMapping(client, None, follows=follows)
    return AgUiStream(reading, services, caller, mapping, Scope(), is_fresh=False)


@router.post("/agent/{agent_id}/stop/{thread_id}")
@needs("cancel", session="body")
async def stop_agent(
    services: ServicesDep,
    caller: CallerDep,
    agent_id: AgentId,
    thread_id: ThreadId,
    body: Annotated[StopBody | None, Body()] = None,
) -> dict[str, bool]:
    """Cancel the run that a client has started as ``runId``, else the one that is under way."""
    del agent_id
    session_id = session_of(caller, "cancel", thread_id)
    try:
        snapshot = await services.hub.snapshots.whole(session_id)
    except SessionNotFound:
        return {"stopped": False}
    found = None if body is None or body.runId is None else _started_as(snapshot, body.runId)
    if found is None and (last := last_answering(snapshot)) is not None:
        found = last.run_id
    if found is not None:
        await stop(services, session_id, found)
    return {"stopped": found is not None}


def _started_as(snapshot: WrittenSnapshot, run_id: str) -> str | None:
    """The run of the message that a client has sent with a run of this id, if it is not over."""
    steps, sent = snapshot.documents[STEP], json.dumps(run_id).encode()
    for at in reversed(range(len(steps.ids))):
        start, end = steps.starts[at], steps.stops[at]
        if snapshot.frame.find(sent, start, end) < 0:
            continue
        step = json.loads(snapshot.frame[start:end])
        aside = step["metadata"].get(METADATA)
        if isinstance(aside, dict) and aside.get("runId") == run_id:
            started = str(step["run_id"])
            runs = snapshot.documents[RUN]
            is_over = started in runs.ids and started in snapshot.ended_runs
            return None if is_over else started
    return None

"""What of a session waits to be done, and for what, for all who may read the session."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel

from stepwire_core.log.waits import read_waiting
from stepwire_core.wire.run_entry import WaitingRun
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.services import ServicesDep, SessionId

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["runs"], route_class=GuardedRoute)

MOST: Final = 100


class WaitingRuns(BaseModel):
    waiting: list[WaitingRun]


@router.get("/waiting")
@needs("read", counts="reads")
async def list_waiting_runs(services: ServicesDep, session_id: SessionId) -> WaitingRuns:
    """The runs of a session that wait for an attempt, and for what: the first 100, the one that has
    waited longest first."""
    found = await read_waiting(services.log.store, services.standings, session_id, MOST)
    return WaitingRuns(waiting=list(found))

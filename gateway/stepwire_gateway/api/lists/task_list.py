"""What can be run: the tasks of the workers that are there, with what they are called with."""

from __future__ import annotations

from fastapi import APIRouter

from stepwire_core.wire.task_document import TaskList
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["runs"], route_class=GuardedRoute)


@router.get("/tasks", responses=may(503))
@needs("write", session="any", counts="reads")
async def list_tasks(services: ServicesDep) -> TaskList:
    """The tasks of the workers that are there: the same for all callers that may start runs."""
    return await services.tasks.offer()

"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from stepwire_core.errors import StoreUnavailable
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import GuardedRoute, needs_nothing
from stepwire_gateway.services import ServicesDep

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Health(BaseModel):
    status: str


class Readiness(Health):
    problems: tuple[str, ...] = ()
    """Faults of parts of the log: the sessions there wait, all others are served."""


@router.get("/healthz")
@needs_nothing
async def check_health() -> Health:
    """200 while the process answers."""
    return Health(status="ok")


@router.get("/readyz", response_model_exclude_defaults=True, responses=may(503))
@needs_nothing
async def check_readiness(services: ServicesDep) -> Readiness:
    """200 when both Redis, that of the log and that of the queue, answer and take writes, and the
    pub/sub connection is confirmed; 503, with what is wrong, otherwise and while shutting down.

    Of a cluster one node is enough, since every gateway would be taken away otherwise: what is
    wrong at the others is in ``problems``."""
    if services.hub.draining:
        raise StoreUnavailable("this gateway is shutting down; others take its clients")
    away = await services.log.ping()
    await services.queue.ping()
    if services.hub.problem is not None:
        raise StoreUnavailable(f"events may be late: {services.hub.problem}")
    problems = (*away, *services.hub.partial_problems)
    return Readiness(status="ready", problems=problems)

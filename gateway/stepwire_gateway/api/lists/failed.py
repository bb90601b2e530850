"""The runs that have failed for good: doing their work again, and forgetting it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from stepwire_core.errors import InvalidId, RunNotFailed
from stepwire_core.log.repeat import replay
from stepwire_core.values.ids import check_id
from stepwire_gateway.api.operations import may
from stepwire_gateway.api.runs import ACCEPTED, AcceptedRun, accepted
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.services import ServicesDep

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["fleet"], route_class=GuardedRoute)


async def _run_id(run_id: Annotated[str, Path()]) -> str:
    try:
        return check_id(run_id, "run")
    except InvalidId:
        raise RunNotFailed(run_id) from None


RunId = Annotated[str, Depends(_run_id)]


@router.post("/retry", status_code=202, responses=ACCEPTED | may(404, 503))
@needs("admin", session="all")
async def retry_failed_run(services: ServicesDep, run_id: RunId, response: Response) -> AcceptedRun:
    """Do the work of a failed run again, as a new run of its session; it leaves the list of failed
    runs. Asked for twice, it is done once more all the same."""
    await services.queue.require_room(services.settings.queue_max)
    letter = await services.dead_letters.get(run_id)
    if letter is None:
        raise RunNotFailed(run_id)
    new_id = await replay(letter, services.dead_letters, services.log, services.queue)
    return accepted(services, response, letter.request.session_id, new_id)


@router.delete("", status_code=204, responses=may(404, 503))
@needs("admin", session="all")
async def forget_failed_run(services: ServicesDep, run_id: RunId) -> None:
    """Take a failed run off the list: it cannot be retried any more. Its session keeps what it
    shows of it."""
    if await services.dead_letters.get(run_id) is None:
        raise RunNotFailed(run_id)
    await services.dead_letters.forget(run_id)

"""The runs and workers of the whole installation, for its operators."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, cast, get_args

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from stepwire_core.errors import InvalidArgument
from stepwire_core.queue.overview import QueueOverview, read_overview
from stepwire_core.queue.run_list import Place, RunList, WantedRuns
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.wire.run_entry import UNDER_WAY, RunEntry, RunStatus
from stepwire_core.wire.worker_document import WorkerDocument
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.http.bodies import Text
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from stepwire_core.queue.run_list import Part

router = APIRouter(prefix="/v1", tags=["fleet"], route_class=GuardedRoute)

_STATUSES: Final[tuple[str, ...]] = get_args(RunStatus)
_ANY_STATUS: Final = "|".join(_STATUSES)

_PLACE: Final = re.compile(
    # The beginning of an attempt; or a score, as Redis reads it.
    "^(?:(running)~([0-9TZ:.+-]{1,40})"
    r"|(waiting|failed)~(-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?))~([0-9]{1,9})$",
    re.ASCII,
)

Statuses = Annotated[
    str | None,
    Query(
        description="Only these, separated by commas; by default all that run or wait.",
        json_schema_extra={"pattern": f"^({_ANY_STATUS})(,({_ANY_STATUS}))*$"},
    ),
]
Named = Annotated[Text | None, Query(min_length=1, max_length=256)]


class RunEntries(BaseModel):
    runs: list[RunEntry]
    next: str | None = Field(
        description="Send it back as `cursor` for the next page, also when this one is short; "
        "null: there is none."
    )


class Workers(BaseModel):
    workers: list[WorkerDocument]


@router.get("/runs", responses=may(503))
@needs("admin", session="all")
async def list_runs(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200, description="The most runs of a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            description="The `next` of the page before, unchanged.",
            # Only for the document: what is malformed is refused with what to do.
            json_schema_extra={"pattern": _PLACE.pattern},
        ),
    ] = None,
    status: Statuses = None,
    handler: Named = None,
    subject: Named = None,
    tag: Named = None,
) -> RunEntries:
    """The runs of all sessions: what runs, the oldest first, what waits, the next one first, and,
    asked for by their status, those that have failed for good, the newest first."""
    wanted = WantedRuns(_statuses(status), handler, subject, tag)
    runs = RunList(services.queue.store, services.settings)
    page = await runs.page(wanted, limit, _place(cursor))
    return RunEntries(runs=page.runs, next=None if page.next is None else _cursor(page.next))


@router.get("/workers", responses=may(503))
@needs("admin", session="all")
async def list_workers(services: ServicesDep) -> Workers:
    """The workers and what each executes. One that has died vanishes within a lease."""
    found = await read_workers(services.queue.store, services.settings.queue_name)
    return Workers(workers=found)


@router.get("/queue", responses=may(503))
@needs("admin", session="all")
async def read_queue(services: ServicesDep) -> QueueOverview:
    """How many runs wait, for what, and for how long; and the limits of the handlers."""
    return await read_overview(services.queue.store, services.settings)


def _statuses(text: str | None) -> frozenset[str]:
    if text is None:
        return UNDER_WAY
    statuses = frozenset(text.split(","))
    if unknown := sorted(statuses.difference(_STATUSES)):
        raise InvalidArgument(
            f"status: {unknown[0]!r} is not one that runs are listed by; these are, separated by "
            f"commas: {', '.join(_STATUSES)}"
        )
    return statuses


def _cursor(place: Place) -> str:
    return "~".join(map(str, place))


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    found = _PLACE.fullmatch(cursor)
    if found is None:
        raise InvalidArgument(
            "cursor: this is not the 'next' of a page: send that unchanged, or no cursor to begin "
            "with the first one"
        )
    return Place(cast("Part", found[1] or found[3]), found[2] or found[4], int(found[5]))

"""The list of sessions: pages of it, and a stream of what changes in it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse

from stepwire_core.errors import Forbidden, InvalidArgument, StoreRefused, StoreUnavailable
from stepwire_core.log.session_index import Page, Position, Wanted
from stepwire_core.wire.session_entry import MAX_TITLE_CHARS, SessionEntry, SessionStatus
from stepwire_gateway.api.event_stream import EventStream
from stepwire_gateway.auth.caller import Caller
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Text
from stepwire_gateway.http.problems import try_again_response
from stepwire_gateway.hub.event_filter import Selection
from stepwire_gateway.hub.session_list import CHANGED, PAGE, REMOVED, ListFrames
from stepwire_gateway.services import Services, ServicesDep

router = APIRouter(prefix="/v1", tags=["sessions"], route_class=GuardedRoute)

MOST: Final = 200
USUAL: Final = 50

_POSITION: Final = re.compile("^([0-9]{1,16})-([0-9]{1,9})$", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MOST, description="The most sessions of a page.")]
Subject = Annotated[
    Text | None,
    Query(
        min_length=1,
        max_length=256,
        description="Only the sessions of this subject; of another than the token's for `admin`.",
    ),
]
Status = Annotated[SessionStatus | None, Query(description="Only those of this status.")]
Title = Annotated[
    Text | None,
    Query(
        min_length=1,
        max_length=MAX_TITLE_CHARS,
        description="Only those with this text in their title, whatever its case.",
    ),
]
After = Annotated[
    str | None,
    Query(
        description="The `next` of the page before, unchanged.",
        # Only for the document: what is malformed is refused with what to do.
        json_schema_extra={"pattern": _POSITION.pattern},
    ),
]


class SessionPage(BaseModel):
    sessions: list[SessionEntry]
    next: str | None = Field(
        description="Send it back as `cursor` for the next page, also when this one is short; "
        "null: there is none."
    )
    unavailable: list[str] = Field(
        default=[],
        description="Sessions that the page would show and cannot: the server that has them is "
        "away. Others are not concerned, so this is empty unless the log is on a cluster.",
    )


class RemovedSession(BaseModel):
    id: str


LIST_EVENTS: Final[dict[str, tuple[type[BaseModel], str]]] = {
    PAGE: (SessionPage, "The first page of the list, which replaces everything."),
    CHANGED: (SessionEntry, "A session that is new or has changed."),
    REMOVED: (RemovedSession, "A session that is gone, or no longer fits the parameters."),
}
"""The events of a stream of the list: what each carries, and when it comes."""


@router.get("/sessions")
@needs("read", session="listed", counts="reads")
async def list_sessions(
    services: ServicesDep,
    caller: CallerDep,
    limit: Limit = USUAL,
    cursor: After = None,
    subject: Subject = None,
    status: Status = None,
    title: Title = None,
) -> SessionPage:
    """The sessions that the caller may read, the one with the newest activity first. Those whose
    server is away are named in `unavailable`; 503 means that the list itself is away."""
    view = _View.of(caller, subject, status, title)
    page = await services.hub.sessions.index.page(view.wanted, limit, _position(cursor))
    return view.page(page)


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "The stream, of events as `SessionListEvent`. An empty one, in which a "
            "comment says why, is to be asked for again.",
        }
    },
)
@needs("read", session="listed", stream=True, counts="reads")
async def stream_sessions(
    services: ServicesDep,
    caller: CallerDep,
    limit: Limit = USUAL,
    subject: Subject = None,
    status: Status = None,
    title: Title = None,
) -> Response:
    """The list of sessions, live: its first page, then each session that changes."""
    view = _View.of(caller, subject, status, title)
    frames = ListFrames(view.wanted.reaches, view.entry_json, view.page_json)
    try:
        reading = await services.hub.open_list(_first_page(services, view, limit), frames)
    except (StoreUnavailable, StoreRefused) as error:
        return try_again_response(error)
    return EventStream(reading, services, caller, Selection(mark_every=1))


def _first_page(services: Services, view: _View, limit: int) -> Callable[[], Awaitable[Page]]:
    async def first_page() -> Page:
        return await services.hub.sessions.index.page(view.wanted, limit)

    return first_page


@dataclass(frozen=True, slots=True)
class _View:
    """The list as one caller sees it."""

    caller: Caller
    wanted: Wanted

    @classmethod
    def of(
        cls, caller: Caller, subject: str | None, status: str | None, title: str | None
    ) -> _View:
        """Check the parameters of the request.

        Raises:
            Forbidden: the caller may not know whose sessions these are.
        """
        if subject is not None and not caller.may_know(subject):
            raise Forbidden("sessions of another subject are for callers with the right 'admin'")
        ids = [pattern.text for pattern in caller.patterns if not pattern.is_prefix]
        prefixes = [pattern.text for pattern in caller.patterns if pattern.is_prefix]
        wanted = Wanted(frozenset(ids), tuple(prefixes), subject, status, title)
        return cls(caller, wanted)

    def page(self, page: Page) -> SessionPage:
        following = None if page.next is None else _cursor(page.next)
        return SessionPage(
            sessions=[self._shown(entry) for entry in page.entries],
            next=following,
            unavailable=page.unavailable,
        )

    def page_json(self, page: Page) -> bytes:
        return self.page(page).model_dump_json().encode()

    def entry_json(self, entry: SessionEntry) -> bytes | None:
        if not self.wanted.includes(entry):
            return None
        return self._shown(entry).model_dump_json().encode()

    def _shown(self, entry: SessionEntry) -> SessionEntry:
        if self.caller.may_know(entry.subject):
            return entry
        return entry.model_copy(update={"subject": None})


def _cursor(position: Position) -> str:
    return f"{position.score}-{position.seen}"


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    found = _POSITION.fullmatch(cursor)
    if found is None:
        raise InvalidArgument(
            "cursor: this is not the 'next' of a page: send that unchanged, or no cursor to begin "
            "with the newest session"
        )
    return Position(int(found[1]), int(found[2]))

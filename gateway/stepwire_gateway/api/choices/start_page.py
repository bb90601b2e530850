"""The start page: only the handlers know its content, so a worker is asked for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, Query

from stepwire_core.errors import ChatProfileNotFound, NoWorker
from stepwire_core.queue.offers import is_fresh, kept_offers, question
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.wire.choices.start_page import HOOKS, ChatProfileDocument, Offers, StartPage
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Text
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from stepwire_core.wire.run_request import RunRequest
    from stepwire_gateway.services import Services

router = APIRouter(prefix="/v1/start", tags=["start"], route_class=GuardedRoute)

ANSWER_S: Final = 10.0
"""How long a worker may take to answer, where no earlier answer is known."""

REFRESH_S: Final = 1.0
"""The same where one is known: a page does not wait long for news."""

_LOOK_S: Final = 0.05

_LANGUAGE: Final = r"^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,3}$"
"""A tag of RFC 5646, as far as people write them."""

Languages = Annotated[str | None, Header(alias="Accept-Language", include_in_schema=False)]


@router.get("", responses=may(404))
@needs("read", session="listed", counts="messages")
async def read_start_page(
    services: ServicesDep,
    caller: CallerDep,
    languages: Languages = None,
    chat_profile: Annotated[
        Text | None, Query(min_length=1, description="By default the default profile.")
    ] = None,
    language: Annotated[
        str | None,
        Query(pattern=_LANGUAGE, description="By default the first of `Accept-Language`."),
    ] = None,
) -> StartPage:
    """The start page, which is shown before a session begins: chat profiles, and starters.

    ``set_chat_profiles``, ``set_starters`` and ``set_starter_categories`` return them for this
    caller; an answer is used for 30 seconds, and for ten minutes while all workers are busy.
    """
    wanted = language or first_language(languages)
    offers = await offers_for(services, caller.subject, wanted)
    profile = offers.default if chat_profile is None else offered(offers, chat_profile)
    return offers.page(profile)


def offered(offers: Offers, name: str) -> ChatProfileDocument:
    """The chat profile of that name.

    Raises:
        ChatProfileNotFound: it is not offered.
        NoWorker: it is not known which are.
    """
    profile = offers.profile(name)
    if profile is None and "set_chat_profiles" in offers.failed:
        raise NoWorker("set_chat_profiles has failed, so no profile can be chosen: try again")
    if profile is None:
        raise ChatProfileNotFound(name, [each.name for each in offers.chat_profiles])
    return profile


def first_language(header: str | None) -> str | None:
    """The first of the languages that a browser accepts (RFC 9110, 12.5.4)."""
    first = (header or "").split(",")[0].partition(";")[0].strip()
    subtags = first.split("-")
    is_tag = 1 <= len(subtags) <= 4 and all(
        part.isascii() and part.isalnum() and len(part) <= 8 for part in subtags
    )
    return first if is_tag and subtags[0].isalpha() else None


async def offers_for(services: Services, subject: str | None, language: str | None) -> Offers:
    """What the handlers offer this person.

    Raises:
        NoWorker: none has answered in time, and no earlier answer is known.
        QueueFull: too many runs wait.
        StoreUnavailable: the queue's Redis does not answer.
    """
    store, name = services.queue.store, services.queue.name
    asked = question(name, subject, language)
    kept = await kept_offers(store, name, asked)
    if kept is not None and is_fresh(kept):
        return kept
    workers = await read_workers(store, name)
    if workers and not any(set(worker.hooks).intersection(HOOKS) for worker in workers):
        return Offers(at_s=time.time())
    if workers:
        await services.queue.require_room(services.settings.queue_max)
        await services.queue.enqueue(asked)
        kept = await _answered(services, asked, kept) or kept
    if kept is None:
        raise NoWorker(
            "no worker has answered for the start page: none runs, or all are busy; try again"
        )
    return kept


async def _answered(services: Services, asked: RunRequest, before: Offers | None) -> Offers | None:
    """A newer answer than the one before, if it comes in time."""
    limit_s = ANSWER_S if before is None else REFRESH_S
    deadline, pause_s = time.monotonic() + limit_s, _LOOK_S
    while time.monotonic() < deadline:
        found = await kept_offers(services.queue.store, services.queue.name, asked)
        if found is not None and (before is None or found.at_s > before.at_s):
            return found
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.5)
    return None

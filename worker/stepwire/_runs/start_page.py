"""Calls the user's functions for the start page, which is shown before a session begins."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stepwire._handlers.start_page import categories_of, profiles_of, starters_of
from stepwire._runs.user_code import UserCode, invoke
from stepwire._scope.user_session import User
from stepwire_core.queue.offers import keep_offers
from stepwire_core.wire.choices.start_page import Offers, default_profile, profile_events
from stepwire_core.wire.words import CHAT_PROFILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepwire._handlers.registry import Handlers, Hook
    from stepwire._scope.context import Scope
    from stepwire_core.queue.run_queue import RunQueue
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.run")

LIMIT_S: Final = 8.0
"""Of each function: a gateway waits for ten seconds for all of them."""

T = TypeVar("T")


async def answer(handlers: Handlers, queue: RunQueue, request: RunRequest) -> None:
    """Say for one person what a page offers, where all gateways find it.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
        asyncio.CancelledError: the worker is stopping; another one is asked.
    """
    offers = await offers_of(handlers, request.subject, request.arguments.get("language"))
    await keep_offers(queue.store, queue.name, request, offers)


async def offers_of(handlers: Handlers, subject: str | None, language: object) -> Offers:
    """What the functions say for a person; one that fails is named, and costs the others nothing.

    Raises:
        asyncio.CancelledError: the caller is cancelled.
    """
    return await _Asking(handlers, _person(subject), language).offers()


async def choose_profile(handlers: Handlers, scope: Scope) -> None:
    """Give the session of a run the default profile, if its creator has chosen none.

    Raises: what the user's function raises.
    """
    run = scope.run
    function = handlers.hooks.get("set_chat_profiles")
    if run is None or function is None or CHAT_PROFILE in run.user:
        return
    profiles = profiles_of(await _called(function, _person(run.subject), None))
    profile = default_profile(profiles)
    if profile is not None:
        run.user[CHAT_PROFILE] = profile.name
        scope.producer.publish(*profile_events(scope.session_id, profile, run_id=scope.run_id))


class _Asking:
    """The functions of an application, asked for one person; one that fails costs the others
    nothing."""

    def __init__(self, handlers: Handlers, person: User | None, language: object) -> None:
        self._hooks = handlers.hooks
        self._person = person
        self._language = language
        self._failed: list[str] = []

    async def offers(self) -> Offers:
        at_s = time.time()
        profiles = await self._asked("set_chat_profiles", profiles_of)
        starters = await self._asked("set_starters", starters_of)
        categories = {}
        if "set_starter_categories" in self._hooks:
            for name in [None, *(profile.name for profile in profiles)]:
                found = await self._asked("set_starter_categories", categories_of, name)
                categories[name or ""] = found
        return Offers(
            at_s=at_s,
            chat_profiles=profiles,
            starters=starters,
            categories=categories,
            failed=list(dict.fromkeys(self._failed)),
        )

    async def _asked(
        self, hook: Hook, read: Callable[[object], list[T]], *more: str | None
    ) -> list[T]:
        function = self._hooks.get(hook)
        if function is None or hook in self._failed:
            return []
        call = _called(function, self._person, self._language, *more)
        outcome = await UserCode(_read(call, read)).outcome(LIMIT_S)
        if outcome.stopped is not None:
            raise outcome.stopped
        if outcome.cut is None and outcome.error is None:
            return outcome.result  # type: ignore[return-value]  # what `read` has returned
        self._failed.append(hook)
        why = f"it took longer than {LIMIT_S:g} s" if outcome.error is None else None
        logger.error("%s failed", hook, extra={"reason": why}, exc_info=outcome.error)
        return []


async def _read(call: Any, read: Callable[[object], list[T]]) -> list[T]:
    return read(await call)


async def _called(function: Callable[..., Any], *given: object) -> object:
    """The result of a function that takes as many of these as it has parameters."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters):
        return await invoke(function, *given)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(parameter.kind in positional for parameter in parameters)
    return await invoke(function, *given[:count])


def _person(subject: str | None) -> User | None:
    return None if subject is None else User(subject)

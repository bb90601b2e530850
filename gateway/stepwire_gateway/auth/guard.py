"""The needs of each route, and the one place where they are checked.

Every route says it in one line above its function. One that says nothing is not served: the
application does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute

from stepwire_core.errors import (
    Forbidden,
    KeysUnavailable,
    LimitExceeded,
    StoreRefused,
    StoreUnavailable,
)
from stepwire_core.wire.rights import Right
from stepwire_gateway.auth.caller import Caller
from stepwire_gateway.auth.limits import RATES, Limits, hold
from stepwire_gateway.http.bodies import require_unpacked
from stepwire_gateway.http.problems import try_again_response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stepwire_gateway.auth.authentication import Auth

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK: Final = "__stepwire_need__"
_IN_DOCUMENT: Final = "x-right"

_TRANSIENT: Final = (KeysUnavailable, LimitExceeded, StoreRefused, StoreUnavailable)
"""After these a stream may be asked for again."""


@dataclass(frozen=True, slots=True)
class Need:
    """The right, session and limits that a route needs."""

    right: Right | Literal["api_key"] | None
    """None: nothing."""
    session: Literal["path", "body", "listed", "any", "all"] = "path"
    """In which session: the one of the path; one that the function itself looks up and checks with
    :meth:`Caller.require`; those that a list shows, which are the caller's own; in any, since it is
    about none; or in all."""
    link: bool = False
    """A browser opens the address by itself (EventSource, img): the token may be in the query."""
    stream: bool = False
    """An EventSource opens it, which gives up for good on an error."""
    counts: str | None = None
    """The rate that limits its calls (:data:`RATES`)."""
    fetched: bool = False
    """A program reads a stream, which takes a status for what it is: it counts as one, too."""


def needs(
    right: Right,
    *,
    session: Literal["path", "body", "listed", "any", "all"] = "path",
    link: bool = False,
    stream: bool = False,
    counts: str | None = None,
    fetched: bool = False,
) -> Callable[[Function], Function]:
    """The caller must have this right, in the session that the path names unless said otherwise."""
    return _marked(Need(right, session, link or stream, stream, counts, fetched))


def needs_api_key(endpoint: Function) -> Function:
    """Only for the user's own backends, which have an API key."""
    return _marked(Need("api_key", "all"))(endpoint)


def needs_nothing(endpoint: Function) -> Function:
    """Open to all callers."""
    return _marked(Need(None, "all"))(endpoint)


def _marked(need: Need) -> Callable[[Function], Function]:
    def mark(endpoint: Function) -> Function:
        setattr(endpoint, _MARK, need)
        return endpoint

    return mark


class GuardedRoute(APIRoute):
    """A route that checks its needs before anything of the body is read."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        need = getattr(endpoint, _MARK, None)
        if not isinstance(need, Need):
            raise TypeError(
                f"{path} does not say what its caller needs: put @needs(...) or @needs_nothing "
                "above its function"
            )
        if need.session == "path" and "{session_id}" not in path:
            raise TypeError(
                f"{path} names no session: say @needs(..., session='body') and check it in the "
                "function with caller.require, or session='all'"
            )
        if need.counts is not None and need.counts not in RATES:
            raise TypeError(
                f"{path} counts {need.counts!r}, but no setting limits them: add a field "
                f"max_{need.counts}_per_minute (or _per_hour) to Settings"
            )
        self.need = need
        if need.right is not None:
            options["openapi_extra"] = (options.get("openapi_extra") or {}) | {
                _IN_DOCUMENT: need.right
            }
        if options.get("operation_id") is None:
            options["operation_id"] = _camel_case(endpoint.__name__)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})

        async def guarded(request: Request) -> Response:
            if self.need.right is not None:
                caller = await admitted(request, self.need)
                if isinstance(caller, Response):
                    return caller
                request.state.caller = caller
            if takes_body:
                require_unpacked(request)
            response = await answer(request)
            # A cache on the way does not know which callers have the right to read it.
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guarded


def _camel_case(name: str) -> str:
    """``read_session`` as ``readSession``, which generated clients make of it what their language
    likes."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


async def admitted(request: Request, need: Need) -> Caller | Response:
    """The caller, if it may use the route; or the answer to an EventSource that has to come back.

    Raises: as :func:`_authorize`.
    """
    try:
        return await _authorize(request, need)
    except _TRANSIENT as error:
        if need.stream:
            return try_again_response(error)
        raise


async def _authorize(request: Request, need: Need) -> Caller:
    """The caller, if it may use the route.

    Raises:
        Unauthenticated, Forbidden, KeysUnavailable: it may not, or that cannot be checked now.
        LimitExceeded: the caller has reached a limit.
        StoreUnavailable: Redis, which counts the calls, does not answer.
    """
    auth: Auth = request.app.state.services.auth
    limits: Limits = request.app.state.services.limits
    caller = await auth.caller(request, link=need.link)
    if need.right is None or need.right == "api_key":
        if not (caller.is_backend or auth.is_open):
            raise Forbidden("only a backend with an API key (STEPWIRE_API_KEYS) may do this")
    elif need.session == "path":
        caller.require(need.right, request.path_params["session_id"])
    else:
        caller.require_right(need.right)
        if need.session == "all" and not caller.reaches_all:
            raise Forbidden("this needs a token for all sessions")
    if need.counts is not None:
        await limits.count(need.counts, caller, request)
    if need.stream or need.fetched:
        hold(request.scope, limits.stream(caller, request).release)
    return caller


def include(app: FastAPI, *routers: APIRouter) -> None:
    """Serve these routers.

    Raises:
        TypeError: a route of theirs is not guarded.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, GuardedRoute):
                raise TypeError(
                    f"{route} is not guarded: make its router with route_class=GuardedRoute"
                )
    # Those of HEAD last: every other request would be compared with them on its way.
    for served in (*routers, *map(_heads, routers)):
        app.include_router(served)
        app.state.routes = [*getattr(app.state, "routes", ()), *served.routes]


def _heads(router: APIRouter) -> APIRouter:
    """HEAD wherever there is GET (RFC 9110, section 9.1), with the same function.

    The server leaves out the body. The OpenAPI document does not repeat them.
    """
    heads = APIRouter(route_class=GuardedRoute)
    for route in router.routes:
        if isinstance(route, GuardedRoute) and "GET" in (route.methods or ()):
            heads.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                response_model=route.response_model,
                response_class=route.response_class,
                response_model_include=route.response_model_include,
                response_model_exclude=route.response_model_exclude,
                response_model_by_alias=route.response_model_by_alias,
                response_model_exclude_unset=route.response_model_exclude_unset,
                response_model_exclude_defaults=route.response_model_exclude_defaults,
                response_model_exclude_none=route.response_model_exclude_none,
                status_code=route.status_code,
                include_in_schema=False,
            )
    return heads


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]

"""Refusals in the form that a face's clients show: the same problems, said otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stepwire_core.errors import StepwireError
from stepwire_gateway.auth.guard import GuardedRoute
from stepwire_gateway.http.problems import answer_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fastapi import Request, Response

Saying = Callable[[dict[str, Any]], tuple[bytes, str]]
"""Makes a body and its media type of a problem (``status``, ``code``, ``detail``, ``errors?``)."""


def route_saying(say: Saying) -> type[GuardedRoute]:
    """The class of a face's routes: ``APIRouter(route_class=route_saying(…))``.

    Status, headers and what is counted stay those of the problem.
    """

    class FaceRoute(GuardedRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def said(request: Request) -> Response:
                try:
                    return await answer(request)
                except (StepwireError, RequestValidationError, HTTPException) as error:
                    response = answer_of(request, error)
                body, media_type = say(json.loads(bytes(response.body)))
                response.body = body
                response.headers["Content-Length"] = str(len(body))
                response.headers["Content-Type"] = media_type
                return response

            return said

    return FaceRoute

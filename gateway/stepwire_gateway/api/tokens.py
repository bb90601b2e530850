"""Tokens for browsers, made for the user's own backends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stepwire_core.wire.run_request import Priority
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.caller import Grant
from stepwire_gateway.auth.guard import GuardedRoute, needs_api_key
from stepwire_gateway.services import ServicesDep

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=GuardedRoute)


def _whole(value: object) -> object:
    """To JSON, 60.0 is an integer too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class NewToken(Grant):
    model_config = ConfigDict(extra="forbid", strict=True)

    ttl_s: Annotated[
        int, Field(ge=1, description="Shortened to the longest allowed."), BeforeValidator(_whole)
    ] = 3600
    priority: Annotated[Priority, BeforeValidator(_whole)] = Field(
        default=0, description="Of the runs that are asked for with it."
    )


class CreatedToken(BaseModel):
    token: str
    expires_at: str


@router.post("", status_code=201, responses=may(404))
@needs_api_key
async def create_token(services: ServicesDep, response: Response, body: NewToken) -> CreatedToken:
    """Make a token for a user of the caller: it opens these sessions and no others."""
    ttl_s = min(body.ttl_s, services.settings.auth_max_ttl_s)
    token, expires_at = services.auth.new_token(body, ttl_s)
    response.headers["Cache-Control"] = "no-store"
    return CreatedToken(
        token=token,
        expires_at=datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    )

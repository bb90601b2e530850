"""Tokens for browsers, made for the user's own backends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.errors import InvalidArgument
from stepwire_gateway._access import GuardedRoute, needs_api_key
from stepwire_gateway._caller import Grant
from stepwire_gateway._services import ServicesDep

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=GuardedRoute)


class NewToken(Grant):
    model_config = ConfigDict(extra="forbid", strict=True)

    ttl_s: Annotated[int, Field(ge=1, description="How long it is valid.")] = 3600


class CreatedToken(BaseModel):
    token: str
    expires_at: str


@router.post("", status_code=201)
@needs_api_key
async def create_token(services: ServicesDep, response: Response, body: NewToken) -> CreatedToken:
    """Make a token for somebody whom the caller knows: it opens these sessions and no others."""
    longest_s = services.settings.auth_max_ttl_s
    if body.ttl_s > longest_s:
        raise InvalidArgument(f"ttl_s is at most {longest_s} (STEPWIRE_AUTH_MAX_TTL_S)")
    token, expires_at = services.auth.new_token(body, body.ttl_s)
    response.headers["Cache-Control"] = "no-store"
    return CreatedToken(
        token=token,
        expires_at=datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    )

"""Which token requests carry, and when another one is asked for."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final

from stepwire.client._gateway_errors import NoToken
from stepwire_core.errors import InvalidArgument

if TYPE_CHECKING:
    from stepwire.client._http import AsyncGetToken, Http, TokenReason

_AHEAD_S: Final = 30.0
"""A token is renewed so long before its end."""


class Tokens:
    """The token that requests carry. However many want another one at a time, it is asked for
    once."""

    def __init__(self, http: Http, get_token: AsyncGetToken | None) -> None:
        self._http = http
        self._get_token = get_token
        self._token: str | None = None
        self._ends_at_s = float("inf")
        self._has_asked = False

    async def take(self) -> str | None:
        """The token to send; None if the gateway is open.

        Raises:
            NoToken: ``get_token`` failed.
        """
        if self._get_token is None or not self._reason():
            return self._token
        async with self._http.lock:
            # Another request may have asked while this one waited.
            if reason := self._reason():
                await self._ask(self._get_token, reason)
        return self._token

    async def replace(self, refused: str | None) -> str | None:
        """Another token than the one that was refused; None if the source has only that one.

        Raises:
            NoToken: ``get_token`` failed.
        """
        if self._get_token is None:
            return None
        async with self._http.lock:
            if self._token == refused:
                await self._ask(self._get_token, "refused")
        return None if self._token == refused else self._token

    def _reason(self) -> TokenReason | None:
        if not self._has_asked:
            return "first"
        return "expiring" if time.time() > self._ends_at_s - _AHEAD_S else None

    async def _ask(self, get_token: AsyncGetToken, reason: TokenReason) -> None:
        try:
            token = await self._http.asked(get_token, reason)
        except Exception as error:
            raise NoToken(f"get_token failed ({type(error).__name__}: {error})") from error
        self._token = checked(token)
        self._has_asked = True
        ends_at_s = _end_of(token)
        # One that seems to end at once comes from a clock that is off: the gateway will say when
        # it has ended.
        self._ends_at_s = ends_at_s if ends_at_s > time.time() + _AHEAD_S else float("inf")


def checked(token: str | None) -> str | None:
    """A token as it can stand in a header.

    Raises:
        InvalidArgument: it cannot; the message does not repeat it.
    """
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise InvalidArgument(
            "the token cannot stand in a header: it is empty, or has a line break or characters "
            "beyond ASCII; give the token alone"
        )
    return token


def _end_of(token: str | None) -> float:
    """When a JSON Web Token ends, in seconds since 1970; infinity for any other token."""
    try:
        part = (token or "").split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, LookupError, TypeError):
        return float("inf")

"""Find the caller of a request by the credentials that it carries."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import jwt
from pydantic import ValidationError

from stepwire_core.errors import CrossSiteRequest, TokensDisabled, Unauthenticated, UntrustedHost
from stepwire_core.settings import listed
from stepwire_gateway.auth.browser import Browsers
from stepwire_gateway.auth.caller import ANYBODY, BACKEND, Caller, Claims, Grant, complaint
from stepwire_gateway.auth.jwks import RemoteKeys
from stepwire_gateway.auth.key_set import ALGORITHMS
from stepwire_gateway.auth.known_tokens import KnownTokens

if TYPE_CHECKING:
    from fastapi import Request
    from jwt import PyJWK
    from jwt.types import Options

    from stepwire_core.settings import Settings

SIGNED_BY_US: Final = "HS256"
MAX_TOKEN_CHARS: Final = 8192
LATEST: Final = 1e11
"""Tokens that say that they live longer, in seconds since 1970, live this long."""

_OPTIONS: Final[Options] = {
    "require": ["exp", "sub"],
    # It says when a token was made, not from when on it is valid; clocks differ by a little.
    "verify_iat": False,
    "enforce_minimum_key_length": True,
}


class Auth:
    """Finds out which caller sends a request, and makes tokens.

    A request may carry a token in three places; the first one that is present counts, and the
    others are ignored: ``Authorization: Bearer``, ``?token=`` (only where ``link`` says that
    a browser opens such an address by itself), the cookie. An API key comes as a Bearer alone.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_open = not settings.has_auth
        self._api_keys = [key.encode() for key in listed(settings.api_keys)]
        self._secrets = listed(settings.auth_secrets)
        self._remote = (
            RemoteKeys(settings.auth_jwks_url, settings.auth_jwks_refetch_s)
            if settings.auth_jwks_url
            else None
        )
        self._issuer = settings.auth_issuer
        self._audience = settings.auth_audience
        self._cookie = settings.auth_cookie
        self._browsers = Browsers(settings)
        self._known = KnownTokens()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self._remote is not None:
                await self._remote.aclose()

    async def caller(self, request: Request, *, link: bool) -> Caller:
        """The caller that sends this request.

        Raises:
            Unauthenticated: there are no credentials, or the token is not valid.
            KeysUnavailable: the token cannot be checked.
            CrossSiteRequest: a browser sends it for a page of another site.
            UntrustedHost: the gateway is open, and the request names a foreign host.
        """
        if self.is_open:
            if not self._browsers.is_our_name(request):
                raise UntrustedHost
            if self._browsers.acts_for_another_site(request):
                raise CrossSiteRequest
            return ANYBODY
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            bearer = credentials.strip()
            return BACKEND if self._is_api_key(bearer) else await self._of_token(bearer)
        if link and (token := request.query_params.get("token")) is not None:
            return await self._of_token(token)
        if (token := request.cookies.get(self._cookie)) is not None:
            # The browser adds the cookie whichever page makes it send the request.
            if not self._browsers.acts_for_our_own_site(request):
                raise CrossSiteRequest
            return await self._of_token(token)
        raise Unauthenticated(
            "this needs a token: send it as 'Authorization: Bearer …'", given=False
        )

    def new_token(self, grant: Grant, ttl_s: int) -> tuple[str, int]:
        """A token that says this, and when it ends, in seconds since 1970.

        Raises:
            TokensDisabled: this gateway has no secret to sign it with.
        """
        if not self._secrets:
            raise TokensDisabled
        expires_at = int(time.time()) + ttl_s
        claims: dict[str, Any] = {
            "sub": grant.sub,
            "sessions": grant.sessions,
            "rights": grant.rights,
            "exp": expires_at,
        }
        if grant.priority:
            claims["priority"] = grant.priority
        if self._issuer is not None:
            claims["iss"] = self._issuer
        if self._audience is not None:
            claims["aud"] = self._audience
        return jwt.encode(claims, self._secrets[0], SIGNED_BY_US), expires_at

    def _is_api_key(self, bearer: str) -> bool:
        # All are compared, and each in full: how long it takes says nothing of any.
        given = bearer.encode()
        return sum(hmac.compare_digest(given, key) for key in self._api_keys) > 0

    async def _of_token(self, token: str) -> Caller:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(f"the token is longer than {MAX_TOKEN_CHARS} characters")
        # Before it is checked: what is valid with these keys may not be so with newer ones.
        keys = 0 if self._remote is None else self._remote.current()
        caller = self._known.caller(token, keys)
        if caller is None:
            caller = await self._checked(token)
            self._known.remember(token, keys, caller)
        return caller

    async def _checked(self, token: str) -> Caller:
        content = await self._verified(token)
        try:
            claims = Claims.model_validate(content)
        except ValidationError as error:
            raise Unauthenticated(
                f"the token has a claim that is not accepted: {complaint(error)}"
            ) from None
        # The signature's library drops the fraction too.
        expires_at = math.floor(min(claims.exp, LATEST))
        return Caller(
            claims.sub,
            claims.patterns(),
            frozenset(claims.rights),
            expires_at,
            priority=claims.priority,
        )

    async def _verified(self, token: str) -> dict[str, Any]:
        """Its claims. The kind of the signature decides what may have signed it, never the token
        alone."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("the token is not a JSON Web Token") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == SIGNED_BY_US and self._secrets:
            content = self._content(token, self._secrets)
        elif algorithm in ALGORITHMS and self._remote is not None:
            content = await self._by_remote(self._remote, token, key_id, algorithm)
        else:
            raise Unauthenticated("the token is signed in a way that this gateway does not accept")
        if content is None:
            raise Unauthenticated("the token's signature is not valid")
        return content

    async def _by_remote(
        self, remote: RemoteKeys, token: str, key_id: str | None, algorithm: str
    ) -> dict[str, Any] | None:
        content = self._content(token, [await remote.key(token, key_id, algorithm)])
        if content is None and key_id is None:
            # Without ids a new key takes the place of the old one, and looks the same.
            newer = await remote.key(token, key_id, algorithm, has_failed=True)
            content = self._content(token, [newer])
        return content

    def _content(self, token: str, keys: Sequence[str | PyJWK]) -> dict[str, Any] | None:
        """What it says; None: none of the keys has signed it."""
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    # A key of a key set carries its own algorithm, and no other is taken with it.
                    algorithms=[SIGNED_BY_US] if isinstance(key, str) else [key.algorithm_name],
                    options=_OPTIONS,
                    issuer=self._issuer,
                    audience=self._audience,
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise Unauthenticated("the token has expired") from None
            except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
                raise Unauthenticated(
                    "the token is not meant for this gateway: its iss or aud is a different one"
                ) from None
            except jwt.MissingRequiredClaimError as error:
                raise Unauthenticated(f"the token has no {error.claim}") from None
            except (jwt.PyJWTError, ValueError):
                raise Unauthenticated("the token is not valid") from None
        return None

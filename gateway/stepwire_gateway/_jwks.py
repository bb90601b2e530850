"""The public keys of whoever makes the tokens, as a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from jwt import PyJWK, PyJWKClient

from stepwire_core.errors import KeysUnavailable, Unauthenticated

logger = logging.getLogger("stepwire.auth")

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Signatures with a public key that are taken; a secret in the set is no public key."""

FETCH_TIMEOUT_S: Final = 3.0
KEEP_S: Final = 300.0
"""Keys of this age are asked for again, beside the requests, which take the old ones meanwhile."""


class RemoteKeys:
    """Keys that are fetched when they are first needed, and then kept.

    A key that is not among them makes them be fetched again, but not more often than every
    ``refetch_s``: anybody can make up a token with an unknown key. While the server is away the
    last keys that it gave hold. A request waits at most ``FETCH_TIMEOUT_S`` for it.
    """

    def __init__(self, url: str, refetch_s: float) -> None:
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_S)
        self._refetch_s = refetch_s
        self._keys: list[PyJWK] = []
        self._fetched_at = self._asked_at = float("-inf")
        self._answers = True
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None, algorithm: str) -> PyJWK:
        """The key of that id; without an id, the only one for that algorithm.

        Raises:
            Unauthenticated: there is none.
            KeysUnavailable: the server does not answer, so nobody knows.
        """
        if time.monotonic() - self._fetched_at > KEEP_S:
            self._fetch()
        found = self._find(key_id, algorithm)
        if found is None and (fetching := self._fetch()) is not None:
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    # The others who wait for it need it still if this request is cancelled.
                    await asyncio.shield(fetching)
            except TimeoutError:
                raise KeysUnavailable from None
            found = self._find(key_id, algorithm)
        if found is not None:
            return found
        if not self._answers:
            raise KeysUnavailable
        raise Unauthenticated("the token is signed with a key that is not known here")

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        fitting = [
            key
            for key in self._keys
            if key.algorithm_name == algorithm and key_id in (None, key.key_id)
        ]
        # Two keys and no id: which one is meant would be guessed.
        return fitting[0] if len(fitting) == 1 else None

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch that is under way or may begin now."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if time.monotonic() - self._asked_at < self._refetch_s:
            return None
        self._asked_at = time.monotonic()
        self._fetching = asyncio.create_task(self._replace_keys(), name="stepwire-jwks")
        return self._fetching

    async def _replace_keys(self) -> None:
        try:
            key_set = await asyncio.to_thread(self._client.get_jwk_set)
        except Exception as error:  # noqa: BLE001 - whatever another server sends is not our fault
            self._answers = False
            logger.warning("no public keys to check tokens with", extra={"error": str(error)})
            return
        self._keys = [
            key
            for key in key_set.keys
            if key.algorithm_name in ALGORITHMS and key.public_key_use in ("sig", None)
        ]
        self._answers = True
        self._fetched_at = time.monotonic()

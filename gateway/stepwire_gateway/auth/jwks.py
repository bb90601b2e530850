"""The public keys of the server that makes the tokens: kept, and fetched anew when they change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import KeysUnavailable, Unauthenticated
from stepwire_gateway.auth.key_set import TIMEOUT_S, KeySet, fetch_key_set

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger("stepwire.auth")

KEEP_S: Final = 300.0
"""Keys of this age are fetched again, beside the requests, which use the old ones meanwhile."""

_MAX_DOUBTFUL: Final = 1_000
"""How many tokens with an unknown key are remembered, with the time of their first request."""


class RemoteKeys:
    """Keys that are fetched when they are first needed, and then kept.

    A token with an unknown key makes them be fetched again, but not more often than every
    ``refetch_s``: any client can invent such a token. A token is refused only if the keys were
    fetched after its first request and its key is not among them. Until then the answer is
    :class:`KeysUnavailable`, and the fetch that decides is planned.

    While the server is away, its last keys stay valid. A request waits at most ``TIMEOUT_S``.
    """

    def __init__(self, url: str, refetch_s: float) -> None:
        self._url = url
        self._refetch_s = refetch_s
        self._set = KeySet()
        self._as_of = float("-inf")
        """When the fetch of this set began: all keys that were published by then are in it."""
        self._begun_at = float("-inf")
        self._number = 0
        self._is_away = False
        self._fetching: asyncio.Task[None] | None = None
        self._planned: asyncio.TimerHandle | None = None
        self._doubtful: OrderedDict[int, float] = OrderedDict()

    def current(self) -> int:
        """A number of the set that counts now, which another set does not have; 0 before the first.
        One that is old is fetched again, beside the requests."""
        if self._number > 0:
            self._refresh(time.monotonic())
        return self._number

    async def key(
        self, token: str, key_id: str | None, algorithm: str, *, has_failed: bool = False
    ) -> PyJWK:
        """The key of that id; without an id, the only one for that algorithm.

        ``has_failed``: the key that was found did not sign the token, so a newer one is looked for.

        Raises:
            Unauthenticated: the server has no such key.
            KeysUnavailable: this is not known yet, or the server does not answer.
        """
        now = time.monotonic()
        self._refresh(now)
        found = None if has_failed else self._set.find(key_id, algorithm)
        if found is not None:
            return found
        if key_id in self._set.ids and not has_failed:
            raise Unauthenticated("the token's key is for another algorithm than its signature")
        came_at = self._first_came(token, now)
        while self._as_of < came_at:
            await self._fetch()
            found = self._set.find(key_id, algorithm)
            if found is not None and not has_failed:
                return found
        self._doubtful.pop(hash(token), None)
        found = self._set.find(key_id, algorithm)
        if found is None:
            raise Unauthenticated("the token is signed with a key that this gateway does not know")
        return found

    async def aclose(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _refresh(self, now: float) -> None:
        if now - self._as_of > KEEP_S:
            self._begin()

    def _first_came(self, token: str, now: float) -> float:
        """When the token first came; a flood of invented tokens can only make that later."""
        # By its hash: the token itself may be long, and is secret.
        came_at = self._doubtful.setdefault(hash(token), now)
        if len(self._doubtful) > _MAX_DOUBTFUL:
            self._doubtful.popitem(last=False)
        return came_at

    async def _fetch(self) -> None:
        """Wait for the fetch that is under way, or that may begin now.

        Raises:
            KeysUnavailable: it is too early, or the server does not answer.
        """
        fetching = self._begin()
        if fetching is None:
            self._plan()
            raise KeysUnavailable(is_away=self._is_away)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                # The others that wait for it still need it if this request is cancelled.
                await asyncio.shield(fetching)
        except TimeoutError:
            raise KeysUnavailable(is_away=True) from None
        if self._is_away:
            raise KeysUnavailable(is_away=True)

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch that is under way or may begin now."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._too_early_s() > 0:
            return None
        return self._start()

    def _start(self) -> asyncio.Task[None]:
        self._begun_at = time.monotonic()
        self._fetching = asyncio.create_task(self._replace(self._begun_at), name="stepwire-jwks")
        return self._fetching

    def _too_early_s(self) -> float:
        return self._begun_at + self._refetch_s - time.monotonic()

    def _plan(self) -> None:
        """Fetch as soon as that is allowed, whether or not a request comes then."""
        if self._planned is None:
            loop = asyncio.get_running_loop()
            self._planned = loop.call_later(self._too_early_s(), self._start_as_planned)

    def _start_as_planned(self) -> None:
        self._planned = None
        # A timer may fire a little early, so the clock is not asked again.
        if self._fetching is None or self._fetching.done():
            self._start()

    async def _replace(self, begun_at: float) -> None:
        try:
            self._set = await asyncio.to_thread(fetch_key_set, self._url)
        except Exception as error:  # noqa: BLE001 - whatever another server sends is not our fault
            self._is_away = True
            logger.warning("the public keys cannot be fetched", extra={"error": str(error)})
            return
        self._number += 1
        self._is_away = False
        self._as_of = begun_at

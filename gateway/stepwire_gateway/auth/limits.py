"""Limits of one caller, one address and this process: streams at a time, calls in a window."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import LimitExceeded
from stepwire_core.settings import Settings
from stepwire_gateway.http.exchange import CROWDED
from stepwire_gateway.http.problems import problem_response, try_again_response
from stepwire_gateway.prefix import route_path

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stepwire_core.redis.rates import Rates
    from stepwire_gateway.auth.caller import Caller


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one caller may do something in a window of time."""

    name: str
    """Of what is counted: a route says it as ``@needs(…, counts=name)``."""
    setting: str
    window_s: int

    @property
    def variable(self) -> str:
        return f"STEPWIRE_{self.setting.upper()}"


_WINDOWS_S: Final = {"minute": 60, "hour": 3600}
_RATE: Final = re.compile(rf"max_(\w+)_per_({'|'.join(_WINDOWS_S)})")

RATES: Final = {
    match[1]: Rate(match[1], setting, _WINDOWS_S[match[2]])
    for setting in Settings.model_fields
    if (match := _RATE.fullmatch(setting))
}
"""By their names. The settings are the table: ``max_messages_per_minute`` limits ``messages``."""

Release = Callable[[], object]
"""Gives back what a request holds; it raises nothing."""

STREAM_RETRY_S: Final = 5
_EXITS: Final = "stepwire.exits"
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Limits:
    """Refuses calls and streams beyond the limits.

    Streams are counted in this process: for each subject of a token, for each address, and all.
    Messages, new sessions and reads (snapshots, and streams that are opened) are counted in Redis,
    so for all gateways together: for each subject, or, without authentication, for each address.
    The calls of a backend with its API key count towards the process alone, since it acts for many;
    so do calls of this machine itself without authentication.

    The address of a caller is the one that the server gives: behind a proxy that it trusts
    (``FORWARDED_ALLOW_IPS``) the one that the proxy names, else the proxy's own.
    """

    def __init__(self, rates: Rates, settings: Settings) -> None:
        self._rates = rates
        self._settings = settings
        self._streams: Counter[str] = Counter()

    async def count(self, what: str, caller: Caller, request: Request) -> None:
        """Count one more.

        Raises:
            LimitExceeded: the limit is reached; this call has been counted.
            StoreUnavailable: Redis does not answer.
        """
        key = _counted_as(caller, request)
        if key is None:
            return
        rate = RATES[what]
        limit: int = getattr(self._settings, rate.setting)
        count, left_s = await self._rates.count(what, key, rate.window_s)
        if count > limit:
            said = f"more than {limit} {what} in {rate.window_s} s"
            raise LimitExceeded(said, rate.variable, left_s)

    def stream(self, caller: Caller, request: Request) -> HeldStream:
        """A stream that is open until it is released.

        Raises:
            LimitExceeded: one of the limits is reached.
        """
        settings = self._settings
        held: dict[str, tuple[int, str]] = {
            "": (settings.max_streams, "STEPWIRE_MAX_STREAMS"),
        }
        if caller.subject is not None:
            limit = settings.max_streams_per_subject
            held[f"s:{caller.subject}"] = limit, "STEPWIRE_MAX_STREAMS_PER_SUBJECT"
        if not caller.is_backend and (address := _address(request)) is not None:
            limit = settings.max_streams_per_address
            held[f"a:{address}"] = limit, "STEPWIRE_MAX_STREAMS_PER_ADDRESS"
        for key, (limit, name) in held.items():
            if self._streams[key] >= limit:
                raise LimitExceeded(f"more than {limit} streams at a time", name, STREAM_RETRY_S)
        return HeldStream(self._streams, tuple(held))


class HeldStream:
    """What an open stream counts for; released once."""

    __slots__ = ("_counts", "_keys")

    def __init__(self, counts: Counter[str], keys: tuple[str, ...]) -> None:
        self._counts, self._keys = counts, keys
        for key in keys:
            counts[key] += 1

    def release(self) -> None:
        """It is not open any more."""
        for key in self._keys:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]
        self._keys = ()


def _counted_as(caller: Caller, request: Request) -> str | None:
    """The subject or address whose calls are counted together; None: they are not counted."""
    if caller.is_backend:
        return None
    if caller.subject is not None:
        return f"s:{caller.subject}"
    address = _address(request)
    return None if address is None else f"a:{address}"


def _address(request: Request) -> str | None:
    """The address of the client, unless that is this machine (or a socket without an address).

    Of an IPv6 address the network counts: a client has all 2**64 addresses in it (RFC 6177).
    """
    client = request.scope.get("client")
    return None if client is None else _counted_address(client[0])


@lru_cache(maxsize=4096)
def _counted_address(host: str) -> str | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host or None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


class Exits:
    """Releases what a request holds when its response is over, however it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Release] = []
        scope[_EXITS] = held
        try:
            await self._app(scope, receive, send)
        finally:
            for release in held:
                release()


class Room:
    """Answers 503 to a request on a connection that is one too many.

    Probes and metrics pass: an orchestrator would end a full gateway, and all of its streams. An
    EventSource is told to come back later, since it gives up for good on 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if CROWDED not in scope.get("extensions", ()) or route_path(scope) in _PROBES:
            await self._app(scope, receive, send)
            return
        accepted = dict(scope["headers"]).get(b"accept", b"")
        name = "STEPWIRE_MAX_CONNECTIONS"
        what = "this gateway has all the connections that it may have"
        if b"text/event-stream" in accepted:
            response = try_again_response(LimitExceeded(what, name, STREAM_RETRY_S))
        else:
            detail = f"{what} ({name})"
            response = problem_response(503, "too_many_connections", detail, setting=name)
        await response(scope, receive, send)


def hold(scope: Scope, release: Release) -> None:
    """Call this when the response to the request is over."""
    held: list[Release] = scope[_EXITS]
    held.append(release)


def taken_over(scope: Scope) -> tuple[Release, ...]:
    """All that is to be called, by a response that outlives the call of the application."""
    held: list[Release] = scope[_EXITS]
    taken = tuple(held)
    held.clear()
    return taken

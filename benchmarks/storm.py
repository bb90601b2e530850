"""What a client costs the gateway when thousands come back at once, beside nginx with nchan.

As after a restart of the gateway: each client asks for a session of its own, from the cursor at
which its stream broke off, or as a fresh one that gets a snapshot. Where the row says so, each has
a token of its own. A thousand are on their way at a time.

Nchan checks no token, and keeps no state.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import jwt

import nchan
from accounting import cpu_s
from clients import Stream
from rounds import Row, table
from stepwire_core.log.event_log import open_log
from stepwire_core.settings import Settings
from under_load import Served, nchan_served, stepwire_served

FIRST: Final = 100
"""Not counted: they pay for what is loaded late."""

AT_ONCE: Final = 1_000

SECRET: Final = "the-secret-of-the-benchmark-is-long-enough"  # noqa: S105 - of nothing


@dataclass(frozen=True, slots=True)
class Storm:
    """What it took until every client was served."""

    cpu_us: float
    """Of the gateway, for each client."""
    redis_us: float
    seconds: float


def _opened(served: Served, streams: Sequence[Stream]) -> Storm:
    clients, servers = served.clients, served.servers
    clients.open(streams[:FIRST])
    gateway, redis = cpu_s(servers["gateway"]), cpu_s(servers["redis"])
    started = time.perf_counter()
    clients.open(streams[FIRST:], at_once=AT_ONCE)
    seconds = time.perf_counter() - started
    each = 1e6 / (len(streams) - FIRST)
    return Storm(
        (cpu_s(servers["gateway"]) - gateway) * each,
        (cpu_s(servers["redis"]) - redis) * each,
        seconds,
    )


def _session_of(stream: Stream) -> str:
    return stream.request.split(b"/", 4)[3].decode()


async def _resumed(redis_url: str, streams: Sequence[Stream]) -> list[Stream]:
    """The same streams, from the ends of their logs."""
    async with open_log(Settings(redis_url=redis_url)) as log:
        tops = await log.tops([_session_of(stream) for stream in streams])
    return [
        replace(_with(stream, f"Last-Event-ID: {top}"), ready=b"retry: ")
        for stream, top in zip(streams, tops, strict=True)
    ]


def _with_token(stream: Stream) -> Stream:
    session_id = _session_of(stream)
    claims = {"sub": session_id, "sessions": [session_id], "rights": ["read"]}
    token = jwt.encode(claims | {"exp": int(time.time()) + 3600}, SECRET)
    return _with(stream, f"Authorization: Bearer {token}")


def _with(stream: Stream, field: str) -> Stream:
    request = stream.request.removesuffix(b"\r\n") + f"{field}\r\n\r\n".encode()
    return replace(stream, request=request)


def _ours(count: int, *, resumes: bool, has_tokens: bool) -> Storm:
    if has_tokens:
        serving = stepwire_served(count, readers=0, STEPWIRE_AUTH_SECRETS=SECRET)
    else:
        serving = stepwire_served(count, readers=0)
    with serving as served:
        streams: Sequence[Stream] = served.streams
        if resumes:
            url = f"redis://127.0.0.1:{served.redis_port}/0"
            streams = asyncio.run(_resumed(url, streams))
        if has_tokens:
            streams = [_with_token(stream) for stream in streams]
        return _opened(served, streams)


def _theirs(count: int) -> Storm:
    with nchan_served(count, readers=0) as served:
        return _opened(served, served.streams)


def measure(*, short: bool = False) -> list[Row]:
    rounds, count = (1, FIRST + 20) if short else (5, FIRST + 5_000)
    skipped = nchan.why_not()
    kinds = {
        "that resume": (True, False),
        "that resume, each with its token": (True, True),
        "without a cursor": (False, False),
    }
    ours: dict[str, list[Storm]] = {kind: [] for kind in kinds}
    theirs: list[Storm] = []
    for _ in range(rounds):
        for kind, (resumes, has_tokens) in kinds.items():
            ours[kind].append(_ours(count, resumes=resumes, has_tokens=has_tokens))
        if not skipped:
            theirs.append(_theirs(count))
    figures: list[tuple[str, str, Callable[[Storm], float], str]] = [
        ("gateway CPU for each", "µs", lambda storm: storm.cpu_us, "<= 250 µs"),
        ("Redis CPU for each", "µs", lambda storm: storm.redis_us, ""),
        ("until all are served", "s", lambda storm: storm.seconds, "<= 2"),
    ]
    return [
        Row(
            f"{count - FIRST:,} clients at once {kind}: {what}",
            unit,
            [value(storm) for storm in ours[kind]],
            "nginx with nchan",
            [value(storm) for storm in theirs],
            goal,
            skipped,
        )
        for kind in kinds
        for what, unit, value, goal in figures
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

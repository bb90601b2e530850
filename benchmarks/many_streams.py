"""100,000 idle streams over several gateways of one Redis, beside nginx with nchan.

Each stream is of a session of its own, and nothing happens in any of them. What is measured: what a
stream takes of a gateway and of Redis, how many channels Redis has, the processor time that it
takes to open one, and what all of them cost while nothing happens. A process may have only so many
open files, so the streams are spread over eight gateways, and over as many processes of clients.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

from redis import Redis

from accounting import cpu_s, many_files, resident_bytes
from clients import Clients, Stream
from gateway_process import gateway_running, new_sessions
from nchan import nchan_server, why_not
from rounds import Row, table
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.values.ids import new_id
from under_load import READY, pid_of

GATEWAYS: Final = 8
_FIRST: Final = 100
"""Streams of each gateway that are not counted: they pay for what is loaded late."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What so many streams cost."""

    gateway_kib: float
    """Memory of a stream in its gateway."""
    redis_kib: float
    """Memory of a stream in Redis, without the session, which is there before."""
    channels: float
    """Channels that Redis has subscriptions on, for each stream."""
    open_us: float
    """Processor time of gateways and Redis for opening one."""
    opened_per_s: float
    idle_gateway_us: float
    """Processor time of gateways for a stream and second while nothing happens."""
    idle_redis_us: float
    commands_per_s: float
    """Of Redis, for all streams together, while nothing happens."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Servers of one kind, and the addresses of the streams that are to be opened on each."""

    redis_port: int
    redis_pid: int
    pids: Sequence[int]
    streams: Sequence[Sequence[Stream]]


@contextmanager
def _ours(count: int, gateways: int) -> Iterator[_Place]:
    with ExitStack() as stack:
        server = stack.enter_context(embedded_server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = os.environ | {
            "STEPWIRE_REDIS_URL": server.url,
            # All clients come from one address, and at once.
            "STEPWIRE_MAX_READS_PER_MINUTE": "10000000",
            "STEPWIRE_MAX_STREAMS": "100000",
        }
        running = [
            stack.enter_context(gateway_running(env, folder / f"log{number}"))
            for number in range(gateways)
        ]
        ids = asyncio.run(new_sessions(server.url, count))
        streams = [
            [
                Stream.of(gateway.port, f"/v1/sessions/{sid}/events", READY)
                for sid in ids[number::gateways]
            ]
            for number, gateway in enumerate(running)
        ]
        yield _Place(server.port, pid_of(server), [one.pid for one in running], streams)


@contextmanager
def _theirs(count: int, gateways: int) -> Iterator[_Place]:
    with ExitStack() as stack:
        server = stack.enter_context(embedded_server())
        running = [stack.enter_context(nchan_server(server.url)) for _ in range(gateways)]
        ids = [new_id() for _ in range(count)]
        streams = [
            [Stream.of(port, f"/sub/{id_}", b": hi\n\n") for id_ in ids[number::gateways]]
            for number, (port, _) in enumerate(running)
        ]
        pids = [pid for _, of_one in running for pid in of_one]
        yield _Place(server.port, pid_of(server), pids, streams)


def _measured(place: _Place, *, idle_s: float) -> Idle:
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(port=place.redis_port))
        clients = [stack.enter_context(closing(Clients())) for _ in place.streams]

        def opened(some: slice) -> None:
            for each, streams in zip(clients, place.streams, strict=True):
                each.open(streams[some])

        opened(slice(_FIRST))
        before = _used(redis, place)
        opened(slice(_FIRST, None))
        after = _used(redis, place)
        count = sum(len(streams[_FIRST:]) for streams in place.streams)
        in_all = sum(len(streams) for streams in place.streams)
        time.sleep(min(idle_s, 5.0))
        quiet = _used(redis, place)
        time.sleep(idle_s)
        later = _used(redis, place)
    idle_seconds = later.at - quiet.at
    return Idle(
        gateway_kib=(after.gateway_bytes - before.gateway_bytes) / count / 1024,
        redis_kib=(after.redis_bytes - before.redis_bytes) / count / 1024,
        channels=(after.channels - before.channels) / count,
        open_us=(after.gateway_s + after.redis_s - before.gateway_s - before.redis_s) / count * 1e6,
        opened_per_s=count / (after.at - before.at),
        idle_gateway_us=(later.gateway_s - quiet.gateway_s) / in_all / idle_seconds * 1e6,
        idle_redis_us=(later.redis_s - quiet.redis_s) / in_all / idle_seconds * 1e6,
        commands_per_s=(later.commands - quiet.commands) / idle_seconds,
    )


@dataclass(frozen=True, slots=True)
class _Used:
    at: float
    gateway_bytes: int
    gateway_s: float
    redis_bytes: int
    redis_s: float
    channels: int
    commands: int


def _used(redis: Redis, place: _Place) -> _Used:
    info = cast("Mapping[str, int]", redis.info())
    return _Used(
        at=time.perf_counter(),
        gateway_bytes=sum(map(resident_bytes, place.pids)),
        gateway_s=cpu_s(place.pids),
        redis_bytes=info["used_memory"],
        redis_s=cpu_s([place.redis_pid]),
        channels=info["pubsub_channels"] + info.get("pubsubshard_channels", 0),
        commands=info["total_commands_processed"],
    )


def measure(*, short: bool = False) -> list[Row]:
    many_files()
    gateways, streams, idle_s = (2, 10, 1.0) if short else (GATEWAYS, 100_000, 60.0)
    count = streams + gateways * _FIRST
    theirs: list[Idle] = []
    skipped = why_not()
    # One round: it takes minutes.
    with _ours(count, gateways) as place:
        ours = [_measured(place, idle_s=idle_s)]
    if not skipped:
        with _theirs(count, gateways) as place:
            theirs.append(_measured(place, idle_s=idle_s))
    return list(_rows(f"{streams:,} idle streams", ours, theirs, skipped))


def _rows(what: str, ours: Sequence[Idle], theirs: Sequence[Idle], skipped: str) -> Iterator[Row]:
    figures: list[tuple[str, str, Callable[[Idle], float]]] = [
        ("memory of a gateway for each", "KiB", lambda idle: idle.gateway_kib),
        ("memory of Redis for each", "KiB", lambda idle: idle.redis_kib),
        ("channels of Redis for each", "channels", lambda idle: idle.channels),
        ("opened", "1/s", lambda idle: idle.opened_per_s),
        ("CPU of gateways and Redis to open one", "µs", lambda idle: idle.open_us),
        ("CPU of a gateway, idle", "µs/stream and s", lambda idle: idle.idle_gateway_us),
        ("CPU of Redis, idle", "µs/stream and s", lambda idle: idle.idle_redis_us),
        ("commands of Redis, all idle", "1/s", lambda idle: idle.commands_per_s),
    ]
    row = partial(Row, peer="nginx with nchan, as many", goal="", skipped=skipped)
    for figure, unit, of in figures:
        yield row(
            f"{what}: {figure}", unit, [of(one) for one in ours], theirs=[of(one) for one in theirs]
        )


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

"""Servers, a load and clients, each in processes of their own, and what a window of time costs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounting import cpu_s, many_files
from clients import Clients, Stream
from gateway_process import gateway_running
from load import Load
from nchan import nchan_server
from rounds import Row, percentile
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.values.ids import new_id

WORKERS = 4
"""Processes that the sessions come from. In one, which has a round trip under way at a time, the
tokens of a session would wait for those of all the others, and merge."""

FIRST_EVENT_S = 30.0
"""For so long at most a window waits for its first event."""

READY = b"event: snapshot"
"""Marks that a stream of ours is live."""


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in a stretch of time under load."""

    seconds: float
    delivered: int
    cpu: Mapping[str, float]
    """Seconds of processor time, by what used it."""
    late_ms: float
    """p99 of how far the load was behind its schedule."""

    def us_per_event(self, *names: str) -> float:
        """Microseconds of processor time for each event that reached a client."""
        return sum(self.cpu[name] for name in names) / self.delivered * 1e6

    def share(self, name: str) -> float:
        """Cores that it had busy."""
        return self.cpu[name] / self.seconds


@dataclass(frozen=True, slots=True)
class Served:
    """What belongs together; ``servers`` are process ids by name."""

    servers: Mapping[str, Sequence[int]]
    load: Load
    clients: Clients
    redis_port: int
    streams: Sequence[Stream]
    """What the clients have open, or, without readers, what there is to open."""

    def window(
        self, begin: Callable[[Load], None], *, warm_s: float, window_s: float, watch: bool = False
    ) -> Window:
        """What happens in the window, after the load has been on for a while.

        With ``watch``, the clients note how long events take in it.
        """
        pids = {**self.servers, "load": self.load.pids, "clients": [self.clients.pid]}
        begin(self.load)
        time.sleep(warm_s)
        if watch:
            self.clients.watch()
        before = {name: cpu_s(of) for name, of in pids.items()}
        started, seen = time.perf_counter(), self.clients.received.value
        time.sleep(window_s)
        # In a short form, on a busy machine, it may be longer: without an event it says nothing.
        while self.clients.received.value == seen and time.perf_counter() - started < FIRST_EVENT_S:
            time.sleep(0.05)
        cpu = {name: cpu_s(of) - before[name] for name, of in pids.items()}
        delivered = self.clients.received.value - seen
        seconds = time.perf_counter() - started
        sent = self.load.stop()
        if not delivered:
            raise RuntimeError("no event reached a client")
        late_ms = percentile(sent.late_ms, 99) if sent.late_ms else 0.0
        return Window(seconds, delivered, cpu, late_ms)


@contextmanager
def stepwire_served(
    sessions: int,
    *,
    readers: int = 1,
    steps: int = 1,
    gateways: int = 1,
    masters: int = 0,
    **env: str,
) -> Iterator[Served]:
    """Our gateways, with so many clients on each session; the clients are spread over them. The
    log is on a cluster of so many masters, if any. Processes of one kind are numbered then."""
    many_files()
    with ExitStack() as stack:
        server = stack.enter_context(embedded_server())
        log_url, redis = server.url, [server]
        if masters:
            # Here: a version that is measured beside this one may know no cluster.
            from cluster import cluster

            nodes = stack.enter_context(cluster(primaries=masters))
            log_url, redis = nodes.url, [*nodes.primaries]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        everything = os.environ | {
            "STEPWIRE_REDIS_URL": log_url,
            "STEPWIRE_QUEUE_URL": server.url,
            # All clients come from one address, and at once.
            "STEPWIRE_MAX_READS_PER_MINUTE": "1000000",
            **env,
        }
        running = [
            stack.enter_context(gateway_running(everything, folder / f"log{number}"))
            for number in range(gateways)
        ]
        clients = stack.enter_context(closing(Clients()))
        session_ids = [new_id() for _ in range(sessions)]
        load = stack.enter_context(
            closing(
                Load(
                    clients.received,
                    [
                        ("stepwire", log_url, session_ids[number::WORKERS], steps)
                        for number in range(min(WORKERS, sessions))
                    ],
                )
            )
        )
        streams = [
            Stream.of(running[number % gateways].port, f"/v1/sessions/{sid}/events", READY)
            for number, sid in enumerate(session_ids * max(1, readers))
        ]
        clients.open(streams if readers else [])
        kinds = {"gateway": [one.pid for one in running], "redis": [pid_of(one) for one in redis]}
        servers: Mapping[str, Sequence[int]] = kinds
        if masters:
            servers = {
                f"{kind} {number}": [pid]
                for kind, pids in kinds.items()
                for number, pid in enumerate(pids)
            }
        yield Served(servers, load, clients, server.port, streams)


@contextmanager
def nchan_served(channels: int, *, readers: int = 1) -> Iterator[Served]:
    """The same with nchan."""
    many_files()
    with ExitStack() as stack:
        server = stack.enter_context(embedded_server())
        port, pids = stack.enter_context(nchan_server(server.url))
        clients = stack.enter_context(closing(Clients()))
        ids = [new_id() for _ in range(channels)]
        load = stack.enter_context(closing(Load(clients.received, [("nchan", port, ids)])))
        streams = [Stream.of(port, f"/sub/{id_}", b": hi\n\n") for id_ in ids * max(1, readers)]
        clients.open(streams if readers else [])
        servers = {"gateway": pids, "redis": [pid_of(server)]}
        yield Served(servers, load, clients, server.port, streams)


def pid_of(server: EmbeddedServer) -> int:
    if server.process is None:
        raise RuntimeError("the server does not run")
    return server.process.pid


def load_rows(
    what: str, windows: Sequence[Window], *, per_s: float = 0, interval_ms: float = 0
) -> list[Row]:
    """That the load generator and the clients were not what held anything up.

    For a load that was paced: deliveries a second, and the time between two events of a session.
    """
    ones = [1.0] * len(windows)
    rows = [
        Row(f"{what}: {text}", "cores", [w.share(name) for w in windows], "one core", ones, "< 1")
        for name, text in (("load", "the load's own CPU"), ("clients", "the clients' own CPU"))
    ]
    if per_s:
        rows += [
            Row(
                f"{what}: delivered",
                "events/s",
                [window.delivered / window.seconds for window in windows],
                "offered",
                [per_s] * len(windows),
                ">= 0.99",
            ),
            Row(
                f"{what}: the load behind its schedule, p99",
                "ms",
                [window.late_ms for window in windows],
                "interval of a session's events",
                [interval_ms] * len(windows),
                "< 1",
            ),
        ]
    return rows

"""What a second and a third master, and more gateways, cost and carry.

Sessions on a Redis Cluster with one client each, paced, so that nothing waits: processor time of
each server for each event that reached its client. A master executes scripts on one core, so what
the busiest one needs for an event says how many events there can be. Beside it the two words of
Redis for telling subscribers: what a message costs all masters, and what they send one another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from redis import Connection, Redis

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from accounting import cpu_s
from cluster import Cluster, cluster
from load import Load
from rounds import Row, table
from stepwire_core.redis.commands import PLAIN, SHARDED, ChannelWords
from under_load import Window, pid_of, stepwire_served

PER_SESSION: Final = 10
"""Events a second."""

MESSAGE: Final = b"x" * 200
"""About what the news of an event has."""

CHANNELS: Final = 300

Over = Callable[[Iterable[float]], float]


def measure(*, short: bool = False, rounds: int = 5) -> list[Row]:
    sessions, warm_s, window_s = (6, 0.2, 0.5) if short else (100, 1.0, 3.0)
    rounds = 1 if short else rounds
    begin = partial(Load.paced, events_per_s=sessions * PER_SESSION)
    numbers, several = ((2,), (2,)) if short else ((1, 2, 3), (2, 4))
    most = numbers[-1]
    setups = [(0, 1), *((masters, 1) for masters in numbers), *((most, more) for more in several)]
    found: dict[tuple[int, int], list[Window]] = {setup: [] for setup in setups}
    for _ in range(rounds):
        for masters, gateways in setups:
            with stepwire_served(sessions, gateways=gateways, masters=masters) as served:
                window = served.window(begin, warm_s=warm_s, window_s=window_s)
            found[masters, gateways].append(window)
    what = f"{sessions} sessions x {PER_SESSION} events/s"
    rows = []
    for masters in numbers:
        of = f"{what}, masters: {masters}; CPU of"
        pair = found[masters, 1], found[0, 1]
        rows += [
            _row(f"{of} all masters", "one server, no cluster", "redis", sum, *pair),
            _row(f"{of} the busiest master", "one server, no cluster", "redis", max, *pair),
            _row(f"{of} the gateway", "at one server", "gateway", sum, *pair),
        ]
    for gateways in several:
        of = f"{what}, masters: {most}, gateways: {gateways}; CPU of"
        pair = found[most, gateways], found[most, 1]
        rows += [
            _row(f"{of} all gateways", "one gateway", "gateway", sum, *pair),
            _row(f"{of} the busiest gateway", "one gateway", "gateway", max, *pair),
            _row(f"{of} all masters", "one gateway", "redis", sum, *pair),
        ]
    return rows + _words(rounds, 1_000 if short else 20_000)


def _row(
    what: str, peer: str, kind: str, over: Over, ours: Sequence[Window], theirs: Sequence[Window]
) -> Row:
    """What the processes of one kind need for an event: all of them, or the busiest."""

    def each(windows: Sequence[Window]) -> list[float]:
        return [
            over(window.us_per_event(name) for name in window.cpu if name.startswith(kind))
            for window in windows
        ]

    return Row(what, "µs/event", each(ours), peer, each(theirs), "")


def _words(rounds: int, messages: int) -> list[Row]:
    """Bare messages in a cluster of three, each to one subscriber, who listens where it is told."""
    costs: dict[ChannelWords, list[tuple[float, float]]] = {SHARDED: [], PLAIN: []}
    with cluster() as nodes:
        for _ in range(rounds):
            for words, measured in costs.items():
                measured.append(_cost(nodes, words, messages))
    what = "a message to one subscriber, masters: 3; sharded"
    figures = [("CPU of all masters", "µs/message")]
    if all(sent for _, sent in costs[PLAIN]):
        figures.append(("sent from node to node", "bytes/message"))
    return [
        Row(
            f"{what}: {figure}",
            unit,
            [cost[at] for cost in costs[SHARDED]],
            "plain",
            [cost[at] for cost in costs[PLAIN]],
            "",
        )
        for at, (figure, unit) in enumerate(figures)
    ]


def _cost(nodes: Cluster, words: ChannelWords, messages: int) -> tuple[float, float]:
    """Processor time in µs, and bytes between nodes, for each message."""
    channels: dict[int, list[str]] = {node.port: [] for node in nodes.primaries}
    for number in range(CHANNELS):
        name = f"{{{number}}}"
        owner = nodes.owner(nodes.primaries[0].ask("CLUSTER", "KEYSLOT", name))
        channels[owner.port].append(name)
    with ExitStack() as stack:
        clients = {
            port: stack.enter_context(Redis(port=port, single_connection_client=True))
            for port in channels
        }
        listening = []
        for port, names in channels.items():
            # A gateway: at the node of each sharded channel, at the first node for the others.
            at = port if words is SHARDED else nodes.primaries[0].port
            listener = Connection(port=at)
            stack.callback(listener.disconnect)
            for name in names:
                listener.send_command(words.subscribe, name)
                listener.read_response()
            listening.append((listener, len(names)))
        pids = [pid_of(node) for node in nodes.primaries]
        before, sent_before = cpu_s(pids), _sent(nodes)
        rounds = messages // CHANNELS
        for _ in range(rounds):
            for port, client in clients.items():
                with client.pipeline(transaction=False) as pipe:
                    for name in channels[port]:
                        pipe.execute_command(words.publish, name, MESSAGE)
                    pipe.execute()
            for listener, count in listening:
                for _ in range(count):
                    listener.read_response()
        sent, used = _sent(nodes) - sent_before, cpu_s(pids) - before
    return used / (rounds * CHANNELS) * 1e6, sent / (rounds * CHANNELS)


def _sent(nodes: Cluster) -> int:
    """Bytes of messages that nodes have sent one another; 0 from a server that does not count
    them, as Valkey does since 9.1."""
    stats = [node.ask("CLUSTER INFO") for node in nodes.primaries]
    return sum(int(stat.get("cluster_stats_pubsub_bytes_sent", 0)) for stat in stats)


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

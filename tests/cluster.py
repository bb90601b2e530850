"""A Redis Cluster of the embedded server, and Sentinels, for as long as a test needs them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from proxy import Proxy
from stack import wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server, free_port
from stepwire_core.redis.topologies.slots import SLOTS

NODE_TIMEOUT_MS: Final = 1_000
"""After so long without an answer a node counts as down."""


_frozen: Final = set[int]()


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[None]:
    """A host that is paused: its connections are there, and nothing comes over them. What was sent
    to it meanwhile it executes when the block is over."""
    assert server.process is not None
    pid = server.process.pid
    os.kill(pid, signal.SIGSTOP)
    _frozen.add(pid)
    try:
        yield
    finally:
        _frozen.discard(pid)
        os.kill(pid, signal.SIGCONT)


def cut_off_replicas(primary: EmbeddedServer) -> None:
    """From now on nothing that it is told reaches its replicas, and none may come back."""
    with Redis(port=primary.port) as redis:
        redis.execute_command("ACL SETUSER", "default", "-psync", "-sync")
        redis.execute_command("CLIENT KILL", "TYPE", "replica")

        def are_gone() -> bool:
            return cast("dict[str, int]", redis.info("replication"))["connected_slaves"] == 0

        wait_until(are_gone, "no replica is connected")


def is_up(server: EmbeddedServer) -> bool:
    """Whether it can answer."""
    return server.process is not None and server.process.pid not in _frozen


@dataclass(slots=True)
class ClusterNode(EmbeddedServer):
    """One node."""

    bus_port: int = field(default_factory=free_port)
    bus: Proxy | None = None
    """Where the other nodes find it, if not at its port."""

    def _options(self) -> list[str]:
        return [
            # Not super(): a dataclass with slots is another class than its methods stand in.
            *EmbeddedServer._options(self),
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
            *("--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no"),
            *("--cluster-announce-bus-port", str(self.known_bus_port)),
        ]

    @property
    def known_bus_port(self) -> int:
        return self.bus_port if self.bus is None else self.bus.port

    def ask(self, *words: object) -> Any:
        """The node's reply to a command."""
        with Redis(port=self.port, socket_timeout=10) as redis:
            return redis.execute_command(*words)

    @property
    def id(self) -> str:
        return text(self.ask("CLUSTER", "MYID"))

    def owner_of(self, slot: int) -> int | None:
        """The port of the primary that has a slot, as far as this node knows."""
        for first, last, (_, port, *_), *_ in self.ask("CLUSTER SLOTS"):
            if first <= slot <= last:
                return int(port)
        return None


def text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


@dataclass(slots=True)
class Cluster:
    """Primaries with a third of the slots each, and a replica of each if wanted."""

    primaries: list[ClusterNode]
    replicas: list[ClusterNode]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.primaries[:2])
        return f"redis+cluster://{hosts}"

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.primaries, *self.replicas]

    def owner(self, slot: int) -> ClusterNode:
        """The primary that has a slot, as the first node that is up tells it."""
        port = next(filter(is_up, self.nodes)).owner_of(slot)
        return next(node for node in self.nodes if node.port == port)

    def leaders(self) -> list[ClusterNode]:
        """Those that are primaries by now, the ones with a replica first: tests that share the
        cluster may come in any order, and some take a primary away."""
        roles = {node.port: node.ask("INFO", "replication") for node in filter(is_up, self.nodes)}
        leading = [node for node in self.nodes if roles.get(node.port, {}).get("role") == "master"]
        return sorted(leading, key=lambda node: -roles[node.port]["connected_slaves"])

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        [line] = primary.ask("CLUSTER", "REPLICAS", primary.id)
        port = text(line).split()[1].partition("@")[0].rpartition(":")[2]
        return next(node for node in self.nodes if node.port == int(port))

    def begin_move(self, slot: int, to: ClusterNode) -> ClusterNode:
        """Let a slot be on its way; its keys stay for now."""
        source = self.owner(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
        return source

    def move_keys(self, slot: int, source: ClusterNode, to: ClusterNode, most: int = 1000) -> int:
        """Move some of its keys; how many there were."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, to: ClusterNode) -> None:
        """Let all nodes know who has it: an older word that comes late can undo that, and two nodes
        would then send every call to one another for ever."""
        up = [node for node in self.primaries if is_up(node) and node is not to]

        def is_agreed() -> bool:
            others = [node for node in (to, *up) if node.owner_of(slot) != to.port]
            for node in others:
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)
            return not others

        wait_until(is_agreed, "all nodes agree who has the slot")

    def move(self, slot: int, to: ClusterNode) -> None:
        """Move a slot with its keys, key by key, as redis-cli does."""
        source = self.begin_move(slot, to)
        while self.move_keys(slot, source, to, 5):
            pass
        self.end_move(slot, to)

    def can_migrate_at_once(self) -> bool:
        """Whether the server has the atomic migration of Valkey 9."""
        return bool(self.primaries[0].ask("COMMAND", "INFO", "CLUSTER|MIGRATESLOTS"))

    def migrate_at_once(self, slots: Sequence[int], to: ClusterNode) -> None:
        """Move slots of one node, with all their keys, by one command to that node."""
        source = self.owner(slots[0])
        ranges = [word for slot in slots for word in (slot, slot)]
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", to.id)
        wait_until(
            lambda: all(node.owner_of(slots[0]) == to.port for node in (source, to)),
            "the slots have moved",
        )

    def settle(self) -> None:
        """Let all nodes hear of the last move. A slot that goes on before that would be claimed by
        two of them, and the one that gives in deletes the keys that it has."""

        def has_one_epoch() -> bool:
            up = filter(is_up, self.nodes)
            return len({node.ask("CLUSTER INFO")["cluster_current_epoch"] for node in up}) == 1

        wait_until(has_one_epoch, "all nodes have heard of the last move")

    def cut_off(self, node: ClusterNode) -> None:
        """From now on this node and the other primaries do not reach each other. Clients and its
        own replicas still reach it. The buses are behind proxies."""
        own_id = node.id.encode()
        for other in self.nodes:
            assert other.bus is not None
            other.bus.silences = partial(_is_from, own_id) if other is not node else _always
            other.bus.cut_all()

    def join_again(self) -> None:
        """The end of :meth:`cut_off`."""
        for node in self.nodes:
            assert node.bus is not None
            node.bus.silences = _never
            node.bus.cut_all()

    def is_up(self) -> bool:
        """Whether all nodes that run hold it for complete."""
        return all(
            node.ask("CLUSTER INFO").get("cluster_state") == "ok"
            for node in filter(is_up, self.nodes)
        )


def _is_from(node_id: bytes, data: bytes) -> bool:
    """Whether this is what a node says on the bus: its id is the sender's, in the header."""
    return data[40:80] == node_id


def _always(_: bytes) -> bool:
    return True


def _never(_: bytes) -> bool:
    return False


@contextmanager
def cluster(
    *,
    primaries: int = 3,
    replicas: bool = False,
    append_only: bool = False,
    program: Path | None = None,
    proxied: bool = False,
) -> Iterator[Cluster]:
    """A cluster of that many primaries; its data is gone afterwards. With ``proxied``, nodes can be
    cut off from each other."""
    with ExitStack() as stack:

        def started(count: int) -> list[ClusterNode]:
            nodes = []
            for _ in range(count):
                folder = Path(tempfile.mkdtemp(prefix="stepwire-"))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                node = ClusterNode(free_port(), folder, append_only, program=program)
                if proxied:
                    node.bus = stack.enter_context(Proxy(node.bus_port))
                node.start()
                stack.callback(node.kill)
                nodes.append(node)
            return nodes

        made = Cluster(started(primaries), started(primaries if replicas else 0))
        share = SLOTS // primaries
        for number, node in enumerate(made.primaries):
            last = SLOTS - 1 if number == primaries - 1 else (number + 1) * share - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for number, node in enumerate(made.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node is not made.primaries[0]:
                made.primaries[0].ask(
                    "CLUSTER", "MEET", "127.0.0.1", node.port, node.known_bus_port
                )
        wait_until(made.is_up, "the cluster is complete", 90)
        for primary, replica in zip(made.primaries, made.replicas, strict=False):
            wait_until(partial(_replicates, replica, primary), "a replica follows")
        yield made


@dataclass(slots=True)
class SentinelNode(EmbeddedServer):
    """One Sentinel, which keeps its configuration in its folder."""

    config: str = ""

    def _options(self) -> list[str]:
        path = self.directory / "sentinel.conf"
        if not path.exists():
            path.write_text(f"port {self.port}\nbind 127.0.0.1\n{self.config}")
        return [str(path), "--sentinel"]


@dataclass(slots=True)
class Watched:
    """A primary with replicas, and Sentinels that watch them."""

    servers: list[EmbeddedServer]
    sentinels: list[SentinelNode]
    known_at: dict[int, EmbeddedServer]
    """Those that are known by a port which is not their own."""

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    def ask(self, *words: object) -> Any:
        """The reply of the first Sentinel that is up."""
        up = next(filter(is_up, self.sentinels))
        with Redis(port=up.port, socket_timeout=10) as redis:
            return redis.execute_command("SENTINEL", *words)

    @property
    def primary(self) -> EmbeddedServer:
        """The one that the Sentinels name."""
        _, port = self.ask("GET-MASTER-ADDR-BY-NAME", NAME)
        own = {server.port: server for server in self.servers}
        return (own | self.known_at)[int(port)]


NAME: Final = "orders"
"""By what name the Sentinels know their primary."""


@contextmanager
def sentinels(
    *,
    count: int = 3,
    replicas: int = 1,
    append_only: bool = False,
    before: Proxy | None = None,
    program: Path | None = None,
) -> Iterator[Watched]:
    """A primary, replicas and Sentinels; the data is gone afterwards.

    With ``before`` all know the first primary by the address of that proxy.
    """
    with ExitStack() as stack:
        servers = [
            stack.enter_context(embedded_server(append_only=append_only, program=program))
            for _ in range(1 + replicas)
        ]
        first = servers[0].port
        if before is not None:
            before.target, first = first, before.port
        for server in servers:
            with Redis(port=server.port) as redis:
                redis.config_set("repl-diskless-sync-delay", 0)
                if server is not servers[0]:
                    redis.replicaof("127.0.0.1", first)
        nodes = []
        for _ in range(count):
            folder = Path(tempfile.mkdtemp(prefix="stepwire-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            config = (
                f"sentinel monitor {NAME} 127.0.0.1 {first} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds {NAME} {NODE_TIMEOUT_MS}\n"
                f"sentinel failover-timeout {NAME} 5000\n"
            )
            node = SentinelNode(free_port(), folder, config=config)
            node.start()
            stack.callback(node.kill)
            nodes.append(node)
        made = Watched(servers, nodes, {first: servers[0]})

        def is_ready() -> bool:
            for node in nodes:
                with Redis(port=node.port) as redis:
                    state = redis.sentinel_master(NAME)
                if state["num-slaves"] < replicas or state["num-other-sentinels"] < count - 1:
                    return False
            return True

        wait_until(is_ready, "the Sentinels know one another and the replica")
        yield made


def _replicates(replica: ClusterNode, primary: ClusterNode) -> bool:
    if replica.ask("INFO", "replication")["role"] == "master":
        known = text(replica.ask("CLUSTER", "NODES"))
        if primary.id in known:
            replica.ask("CLUSTER", "REPLICATE", primary.id)
        return False
    return bool(replica.ask("INFO", "replication")["master_link_status"] == "up")

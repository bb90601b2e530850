"""A Redis Cluster of the embedded server, and Sentinels, for as long as a test needs them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis import Redis

from stack import wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server, free_port
from stepwire_core.redis.topologies.slots import SLOTS

NODE_TIMEOUT_MS: Final = 1_000
"""After so long without an answer a node counts as down."""


@dataclass(slots=True)
class ClusterNode(EmbeddedServer):
    """One node; it keeps its data in memory only."""

    bus_port: int = field(default_factory=free_port)

    def _options(self) -> list[str]:
        return [
            # Not super(): a dataclass with slots is another class than its methods stand in.
            *EmbeddedServer._options(self),
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
            *("--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no"),
        ]

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
        asked = next(node for node in self.nodes if node.process is not None)
        port = asked.owner_of(slot)
        return next(node for node in self.nodes if node.port == port)

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
        up = [node for node in self.primaries if node.process is not None and node is not to]

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

    def settle(self) -> None:
        """Let all nodes hear of the last move. A slot that goes on before that would be claimed by
        two of them, and the one that gives in deletes the keys that it has."""

        def has_one_epoch() -> bool:
            up = [node for node in self.nodes if node.process is not None]
            return len({node.ask("CLUSTER INFO")["cluster_current_epoch"] for node in up}) == 1

        wait_until(has_one_epoch, "all nodes have heard of the last move")

    def is_up(self) -> bool:
        """Whether all nodes that run hold it for complete."""
        return all(
            node.ask("CLUSTER INFO").get("cluster_state") == "ok"
            for node in self.nodes
            if node.process is not None
        )


@contextmanager
def cluster(*, primaries: int = 3, replicas: bool = False) -> Iterator[Cluster]:
    """A cluster of that many primaries; its data is gone afterwards."""
    with ExitStack() as stack:

        def started(count: int) -> list[ClusterNode]:
            nodes = []
            for _ in range(count):
                folder = Path(tempfile.mkdtemp(prefix="stepwire-"))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                node = ClusterNode(free_port(), folder)
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
                made.primaries[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        wait_until(made.is_up, "the cluster is complete")
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

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    @property
    def primary(self) -> EmbeddedServer:
        """The one that the first Sentinel which is up names."""
        up = next(node for node in self.sentinels if node.process is not None)
        with Redis(port=up.port) as redis:
            _, port = redis.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(port))


NAME: Final = "orders"
"""By what name the Sentinels know their primary."""


@contextmanager
def sentinels(*, count: int = 3, replicas: int = 1) -> Iterator[Watched]:
    """A primary, replicas and Sentinels; the data is gone afterwards."""
    with ExitStack() as stack:
        servers = [stack.enter_context(embedded_server()) for _ in range(1 + replicas)]
        for server in servers:
            with Redis(port=server.port) as redis:
                redis.config_set("repl-diskless-sync-delay", 0)
                if server is not servers[0]:
                    redis.replicaof("127.0.0.1", servers[0].port)
        nodes = []
        for _ in range(count):
            folder = Path(tempfile.mkdtemp(prefix="stepwire-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            config = (
                f"sentinel monitor {NAME} 127.0.0.1 {servers[0].port} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds {NAME} {NODE_TIMEOUT_MS}\n"
                f"sentinel failover-timeout {NAME} 5000\n"
            )
            node = SentinelNode(free_port(), folder, config=config)
            node.start()
            stack.callback(node.kill)
            nodes.append(node)
        made = Watched(servers, nodes)

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

"""What contract tests run on: each kind of server, cluster and primary, started once a process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
from redis import Redis
from redis.crc import key_slot

from cluster import Cluster, Watched, cluster, sentinels
from servers.programs import OF_DEBIAN, OTHERS, program_of
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.process.redis_rights import Needs
from stepwire_core.values.ids import new_id

FULL: Final = bool(os.environ.get("STEPWIRE_TEST_FULL"))
"""Whether tests take minutes: ``make faults``, ``make soak``."""

SINGLE: Final = ("standalone", "sentinel", *(OTHERS if FULL else (OF_DEBIAN,)))
"""Those with one primary, which may hold a queue, too. The oldest server is among them each time,
beside the newest, which is the embedded one; those between are where tests take minutes."""

TOPOLOGIES: Final = ("cluster", *SINGLE)


def on_each(*kinds: str) -> list[object]:
    """Parameters for a test of each kind; those that are to be started first are marked so."""
    quick = {"standalone", "two", "fakeredis", "prefix"}
    return [
        kind if kind.partition(",")[0] in quick else pytest.param(kind, marks=pytest.mark.process)
        for kind in kinds
    ]


class Topologies:
    """For tests that change nothing in them: the next one finds the same."""

    def __init__(self, server: EmbeddedServer, exits: ExitStack) -> None:
        self._server = server
        self._exits = exits
        self._started: dict[str, EmbeddedServer | Cluster | Watched] = {}

    @property
    def cluster(self) -> Cluster:
        """Three primaries, each with a replica."""
        started = self._start("cluster")
        assert isinstance(started, Cluster)
        return started

    @property
    def watched(self) -> Watched:
        """A primary with two replicas, and three Sentinels."""
        started = self._start("sentinel")
        assert isinstance(started, Watched)
        return started

    def url(self, kind: str) -> str:
        """The address of one of :data:`TOPOLOGIES`, or of the usual server with a prefix."""
        if kind == "prefix":
            return f"{self._server.url}?prefix=acme:"
        return self._start(kind).url

    def url_of_a_user(self, kind: str, needs: Needs, *more: str) -> str:
        """The same as seen by a user who may do this, and ``more``, and nothing else."""
        url, user = self.url(kind), f"user-{new_id()}"
        # Redis 7.0 does not know it.
        new = {"+client|setinfo"} if kind == OF_DEBIAN else set()
        known = [rule for rule in needs.acl() if rule not in new]
        for server in self._servers(kind):
            with Redis(port=server.port) as redis:
                rules = ("on", ">password", "-@all", *known, *more)
                redis.execute_command("ACL SETUSER", user, *rules)
        return url.replace("://", f"://{user}:password@")

    def primary(self, kind: str, key: str) -> EmbeddedServer:
        """The server that has a key."""
        match self._start(kind):
            case Cluster() as nodes:
                return nodes.owner(key_slot(key.encode()))
            case Watched() as watched:
                return watched.primary
            case server:
                return server

    def _servers(self, kind: str) -> Sequence[EmbeddedServer]:
        match self._start(kind):
            case Cluster() as nodes:
                return nodes.nodes
            case Watched() as watched:
                return watched.servers
            case server:
                return [server]

    def _start(self, kind: str) -> EmbeddedServer | Cluster | Watched:
        if kind == "standalone":
            return self._server
        if kind not in self._started:
            enter = self._exits.enter_context
            match kind:
                case "cluster":
                    self._started[kind] = enter(cluster(replicas=True))
                case "sentinel":
                    self._started[kind] = enter(sentinels(replicas=2))
                case _:
                    self._started[kind] = enter(embedded_server(program=program_of(kind)))
        return self._started[kind]


@contextmanager
def topologies_beside(server: EmbeddedServer) -> Iterator[Topologies]:
    """They start when they are asked for, and end with the block."""
    with ExitStack() as exits:
        yield Topologies(server, exits)

"""What the world around the workers does to them for a moment; each is an item of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from proxy import Proxy
from stack import wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import SessionKeys

PLANTED: Final = "planted"
"""How the ids of what is planted begin."""

_NEVER: Final = 99
"""More replicas than there are."""

_BUSY: Final = """
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
local function now() local time = redis.call('TIME') return time[1] + time[2] / 1e6 end
local until_ = now() + tonumber(ARGV[1])
while now() < until_ do end
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """It begins, lasts for a time, and is over; then all must be as if it had not been."""

    name: str
    lasts_s: float
    begin: Callable[[], None]
    end: Callable[[], None]


def no_replicas(redis: Redis) -> Moment:
    """Redis refuses writes: too few replicas are connected (``NOREPLICAS``)."""

    def want(replicas: int) -> None:
        redis.config_set("min-replicas-to-write", replicas)

    return Moment("noreplicas", 2.5, lambda: want(_NEVER), lambda: want(0))


def misconf(redis: Redis, folder: Path) -> Moment:
    """Redis refuses writes: it could not save (``MISCONF``)."""
    in_the_way = folder / "dump.rdb"

    def begin() -> None:
        in_the_way.mkdir()
        redis.config_set("save", "3600 1")
        redis.bgsave()
        wait_until(
            lambda: _info(redis, "persistence")["rdb_last_bgsave_status"] == "err",
            "it fails to save",
        )

    def end() -> None:
        redis.config_set("save", "")
        in_the_way.rmdir()

    return Moment("misconf", 2.5, begin, end)


def busy(redis: Redis) -> Moment:
    """A script of another client takes long, and Redis answers no other call (``BUSY``)."""
    lasts_s = 2.0
    running: list[threading.Thread] = []

    def begin() -> None:
        redis.config_set("busy-reply-threshold", 50)
        thread = threading.Thread(target=redis.eval, args=(_BUSY, 1, "stepwire-test:busy", lasts_s))
        thread.start()
        running.append(thread)

    def end() -> None:
        running.pop().join()

    return Moment("busy", lasts_s, begin, end)


def silence(proxy: Proxy) -> Moment:
    """A NAT forgets all connections: they are there, and nothing comes through any more."""

    def begin() -> None:
        assert proxy.silence_all() > 0

    return Moment("silence", 0.0, begin, lambda: None)


def unreadable(redis: Redis, sessions: Callable[[], Iterable[str]]) -> Moment:
    """Somebody has written documents into sessions that this version cannot understand."""

    def begin() -> None:
        for session_id in sessions():
            _plant(redis, SessionKeys.of(session_id).state)

    return Moment("unreadable", 0.0, begin, lambda: None)


def _plant(redis: Redis, state: str) -> None:
    stored: Any = redis.hgetall(state)
    for field, value in stored.items():
        order, parent, document = value.decode().split(" ", 2)
        if field.startswith(b"s:") and not field.startswith(f"s:{PLANTED}".encode()):
            newer = json.loads(document) | {"id": f"{PLANTED}.newer", "status": "levitating"}
            redis.hset(state, f"s:{PLANTED}.newer", f"{order} {parent} {json.dumps(newer)}")
            redis.hset(state, f"s:{PLANTED}.torn", f"{order} {parent} {document[:-9]}")
            return


class Pair:
    """Two servers behind one address, one of which is the other's replica."""

    def __init__(self, primary: EmbeddedServer, replica: EmbeddedServer, proxy: Proxy) -> None:
        self.primary = primary
        self.replica = replica
        self._proxy = proxy
        with Redis.from_url(replica.url) as redis:
            redis.replicaof("127.0.0.1", primary.port)
        self._wait_for_sync()

    def fail_over(self, at_rest: Callable[[Redis], None]) -> None:
        """The replica is promoted and the address moves, with nothing lost: the old primary becomes
        its replica, and keeps its connections. ``at_rest`` is called between two writes.
        """
        self._wait_for_sync()
        with Redis.from_url(self.primary.url) as old, Redis.from_url(self.replica.url) as new:
            old.execute_command("CLIENT PAUSE", 30_000, "WRITE")
            wait_until(lambda: _offset(old) == _offset(new), "the replica has everything")
            at_rest(old)
            new.replicaof("NO", "ONE")
            self._proxy.target = self.replica.port
            old.replicaof("127.0.0.1", self.replica.port)
            old.execute_command("CLIENT UNPAUSE")
        self.primary, self.replica = self.replica, self.primary

    def _wait_for_sync(self) -> None:
        with Redis.from_url(self.replica.url) as redis:
            wait_until(
                lambda: _info(redis, "replication").get("master_link_status") == "up", "a replica"
            )


def failover(pair: Pair, at_rest: Callable[[Redis], None]) -> Moment:
    """A -> B -> A, by an address that moves."""
    return Moment("failover", 3.0, lambda: pair.fail_over(at_rest), lambda: pair.fail_over(at_rest))


def _offset(redis: Redis) -> int:
    offset: int = _info(redis, "replication")["master_repl_offset"]
    return offset


def _info(redis: Redis, section: str) -> dict[str, Any]:
    # The client says that this may be awaitable, too.
    return cast("dict[str, Any]", redis.info(section))


class Schedule:
    """Moments one after another, with a rest after each; round and round."""

    def __init__(self, moments: Sequence[Moment], rest_s: float = 1.5) -> None:
        self._moments = moments
        self._rest_s = rest_s
        self._count = 0
        self._under_way: Moment | None = None
        self._due_at = time.monotonic() + rest_s

    @property
    def is_complete(self) -> bool:
        """Whether each has been there and is over."""
        return self._count >= len(self._moments) and self._under_way is None

    def look(self, *, begin: bool = True) -> str | None:
        """End the faults that are over; then, unless told not to, begin the next: its name."""
        if not self._moments or time.monotonic() < self._due_at:
            return None
        if self._under_way is not None:
            self.end()
            return None
        if not begin:
            return None
        moment = self._moments[self._count % len(self._moments)]
        self._count += 1
        moment.begin()
        self._under_way = moment
        self._due_at = time.monotonic() + moment.lasts_s
        return moment.name

    def end(self) -> None:
        """End what is under way, if anything is."""
        if self._under_way is not None:
            self._under_way.end()
            self._under_way = None
            self._due_at = time.monotonic() + self._rest_s

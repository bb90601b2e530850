"""At its start a process checks that Redis allows what it needs: each fault is a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cluster import NAME, Cluster
from cluster import cluster as make_cluster
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import SettingsError, StoreRefused
from stepwire_core.log.event_log import Batch, open_log
from stepwire_core.log.submit import submit
from stepwire_core.process.redis_rights import Needs, require_stores
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import message_events, user_message
from topologies import Topologies

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
REDIS = "redis://127.0.0.1/0"
SENT = re.compile(r'\bcommand(?:\(|, )\s*(?:\*\()?"([A-Z]+)"')

ENOUGH = ("~stepwire:*", "~arq:*", "&stepwire:*", "+@all")


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    with embedded_server() as running:
        yield running


@pytest.fixture
def admin(own: EmbeddedServer) -> Iterator[Redis]:
    with Redis.from_url(own.url) as redis:
        yield redis


def user(admin: Redis, own: EmbeddedServer, *rules: str) -> Settings:
    """Settings that name a user with these rights only."""
    admin.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", *rules)
    return Settings(redis_url=f"redis://app:pw@127.0.0.1:{own.port}/0")


async def missing(settings: Settings) -> list[str]:
    """The lines of the error."""
    with pytest.raises(SettingsError) as raised:
        await require_stores(settings, takes_runs=True)
    assert "pw@" not in str(raised.value)
    return str(raised.value).split("\n")


async def test_a_user_with_the_rights_passes_and_nothing_is_left_behind(
    admin: Redis, own: EmbeddedServer
) -> None:
    await require_stores(user(admin, own, *ENOUGH), takes_runs=True)
    assert admin.dbsize() == 0


@pytest.mark.parametrize(
    ("rules", "lacks"),
    [
        (["~arq:*", "&stepwire:*", "+@all"], ["~stepwire:*"]),
        (["~stepwire:*", "&stepwire:*", "+@all"], ["~arq:*"]),
        (["%R~stepwire:*", "~arq:*", "&stepwire:*", "+@all"], ["~stepwire:*"]),
        (["~stepwire:*", "~arq:*", "+@all"], ["&stepwire:*"]),
        ([*ENOUGH, "-fcall"], ["+fcall"]),
        ([*ENOUGH, "-function|load"], ["+function|load"]),
        ([*ENOUGH, "-subscribe"], ["+subscribe"]),
        ([*ENOUGH, "-publish"], ["+publish"]),
        ([*ENOUGH, "-del", "-exists"], ["+del", "+exists"]),
        ([*ENOUGH, "-blpop", "-xadd", "-fcall"], ["+blpop", "+fcall", "+xadd"]),
        (["~stepwire:*", "&stepwire:*", "+@all", "-time"], ["+time", "~arq:*"]),
        ([*ENOUGH, "-evalsha"], ["+evalsha"]),
        ([*ENOUGH, "-script|load"], ["+script|load"]),
        ([*ENOUGH, "-lpushx"], ["+lpushx"]),
    ],
    ids=lambda value: " ".join(value),
)
async def test_each_right_that_is_missing_is_a_line_that_says_how_to_give_it(
    admin: Redis, own: EmbeddedServer, rules: list[str], lacks: list[str]
) -> None:
    lines = await missing(user(admin, own, *rules))
    said = [line.partition("ACL SETUSER app ")[2].partition(" ")[0] for line in lines]
    assert said == sorted(lacks)


async def test_a_user_who_may_not_ask_for_info_passes(admin: Redis, own: EmbeddedServer) -> None:
    await require_stores(user(admin, own, *ENOUGH, "-info"), takes_runs=True)


async def test_a_user_who_may_do_nothing_is_told_so(admin: Redis, own: EmbeddedServer) -> None:
    [line] = await missing(user(admin, own))
    assert "ACL SETUSER" in line


async def test_a_wrong_password_is_one_line(admin: Redis, own: EmbeddedServer) -> None:
    user(admin, own, *ENOUGH)
    settings = Settings(redis_url=f"redis://app:wrong@127.0.0.1:{own.port}/0")
    [line] = await missing(settings)
    assert "put the right user and password" in line


async def test_a_database_that_is_not_there_is_one_line(own: EmbeddedServer) -> None:
    [line] = await missing(Settings(redis_url=f"redis://127.0.0.1:{own.port}/99"))
    assert "a database that it has" in line


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_evicts_keys_is_refused(
    admin: Redis, own: EmbeddedServer, policy: str
) -> None:
    settings = Settings(redis_url=own.url)
    admin.config_set("maxmemory-policy", policy)
    try:
        await require_stores(settings, takes_runs=True)
        admin.config_set("maxmemory", "500mb")
        [line] = await missing(settings)
    finally:
        admin.config_set("maxmemory", 0)
        admin.config_set("maxmemory-policy", "noeviction")
    assert f"maxmemory-policy {policy}" in line
    assert "set maxmemory-policy to noeviction" in line


async def test_a_server_with_a_limit_that_refuses_when_it_is_full_passes(
    admin: Redis, own: EmbeddedServer
) -> None:
    admin.config_set("maxmemory", "500mb")
    try:
        await require_stores(Settings(redis_url=own.url), takes_runs=True)
    finally:
        admin.config_set("maxmemory", 0)


async def test_a_replica_is_refused(admin: Redis, own: EmbeddedServer) -> None:
    admin.replicaof("127.0.0.1", "1")
    try:
        [line] = await missing(Settings(redis_url=own.url))
    finally:
        admin.replicaof("NO", "ONE")
    assert "name its primary in STEPWIRE_REDIS_URL" in line


async def test_a_server_that_takes_no_writes_for_the_moment_is_refused(
    admin: Redis, own: EmbeddedServer
) -> None:
    admin.config_set("min-replicas-to-write", 1)
    try:
        [line] = await missing(Settings(redis_url=own.url))
    finally:
        admin.config_set("min-replicas-to-write", 0)
    assert "NOREPLICAS" in line


async def test_the_queue_is_looked_at_by_itself(admin: Redis, own: EmbeddedServer) -> None:
    """With a user of its own, who needs no channel."""
    queue = user(admin, own, "~stepwire:queue*", "~arq:*", "+@all")
    both = Settings(redis_url=own.url, queue_url=queue.redis_url)
    await require_stores(both, takes_runs=True)
    user(admin, own, "~stepwire:queue*", "+@all")
    [line] = await missing(both)
    assert "ACL SETUSER app ~arq:*" in line


@pytest.mark.parametrize("right", ["-xadd", "-hset", "-publish", "-pexpireat"])
async def test_a_right_that_is_taken_away_costs_whole_calls_and_never_half_a_one(
    admin: Redis, own: EmbeddedServer, right: str
) -> None:
    settings = user(admin, own, *ENOUGH, right)
    async with open_log(settings) as log:
        with pytest.raises(StoreRefused, match=right[1:]):
            await log.create("session", "run")
        assert admin.dbsize() == 0


@pytest.mark.parametrize("right", ["-zadd", "-lpush", "-set"])
async def test_a_message_whose_run_cannot_be_queued_is_not_stored(
    admin: Redis, own: EmbeddedServer, right: str
) -> None:
    async with open_log(Settings(redis_url=own.url)) as log:
        await log.create("session", "run")
    before = admin.hgetall(SessionKeys.of("session").meta)
    settings = user(admin, own, *ENOUGH, right)
    message = user_message("session", "message", "Hello", run_id="answer")
    batch = Batch("session", message_events(message), producer="m/message", run_id="answer")
    request = RunRequest(
        session_id="session", run_id="answer", handler="on_message", message=message
    )
    async with open_log(settings) as log, open_queue(settings) as queue:
        with pytest.raises(StoreRefused, match=right[1:]):
            await submit(log, queue, batch, request)
    assert admin.hgetall(SessionKeys.of("session").meta) == before
    admin.flushall()


class TestOnACluster:
    """Each node has users of its own."""

    @pytest.fixture
    def cluster(self, topologies: Topologies) -> Cluster:
        return topologies.cluster

    NEEDED = ("~stepwire:*", "&stepwire:*", "+@all", "-@admin", "-@dangerous", "+info")

    @pytest.fixture
    def name(self) -> str:
        return f"user-{new_id()}"

    def settings(self, cluster: Cluster, server: EmbeddedServer, name: str) -> Settings:
        url = cluster.url.replace("://", f"://{name}:pw@")
        return Settings(redis_url=url, queue_url=server.url)

    async def test_a_user_with_the_rights_on_every_node_passes(
        self, cluster: Cluster, server: EmbeddedServer, name: str
    ) -> None:
        for node in cluster.primaries:
            node.ask("ACL", "SETUSER", name, "on", ">pw", *self.NEEDED)
        settings = self.settings(cluster, server, name)
        await require_stores(settings, takes_runs=True)
        async with open_log(settings) as log:
            for number in range(5):
                await log.create(f"{name}-{number}", "run")

    async def test_a_right_that_one_node_lacks_is_a_line_that_names_the_node(
        self, cluster: Cluster, server: EmbeddedServer, name: str
    ) -> None:
        for node in cluster.primaries:
            node.ask("ACL", "SETUSER", name, "on", ">pw", *self.NEEDED)
        last = cluster.primaries[-1]
        last.ask("ACL", "SETUSER", name, "-xadd")
        [line] = await missing(self.settings(cluster, server, name))
        assert line.startswith(
            f"{name!r} at redis://{name}:***@127.0.0.1:{last.port} lacks a right"
        )
        assert f"ACL SETUSER {name} +xadd" in line

    @pytest.mark.parametrize("right", ["spublish", "ssubscribe", "sunsubscribe", "publish"])
    async def test_a_right_for_channels_that_is_missing_is_a_line(
        self, cluster: Cluster, server: EmbeddedServer, name: str, right: str
    ) -> None:
        for node in cluster.primaries:
            node.ask("ACL", "SETUSER", name, "on", ">pw", *self.NEEDED, f"-{right}")
        lines = await missing(self.settings(cluster, server, name))
        assert len(lines) == len(cluster.primaries)
        assert all(f"ACL SETUSER {name} +{right} " in line for line in lines)

    async def test_a_right_that_is_taken_away_costs_whole_calls(
        self, server: EmbeddedServer, name: str
    ) -> None:
        with make_cluster(primaries=1) as single:
            [node] = single.primaries
            for right in ("spublish", "publish"):
                node.ask("ACL", "SETUSER", name, "on", ">pw", *self.NEEDED, f"-{right}")
                async with open_log(self.settings(single, server, name)) as log:
                    with pytest.raises(StoreRefused, match=right):
                        await log.create(name, "run")
            assert node.ask("DBSIZE") == 0

    async def test_a_user_who_may_not_ask_for_the_slots_is_told_so(
        self, cluster: Cluster, server: EmbeddedServer, name: str
    ) -> None:
        for node in cluster.primaries:
            node.ask("ACL", "SETUSER", name, "on", ">pw", *self.NEEDED, "-cluster|slots")
        [line] = await missing(self.settings(cluster, server, name))
        assert "cluster|slots" in line
        assert "ACL SETUSER" in line

    async def test_the_address_says_cluster_where_one_is_and_nowhere_else(
        self, cluster: Cluster, server: EmbeddedServer
    ) -> None:
        node = cluster.primaries[0]
        [line] = await missing(Settings(redis_url=node.url, queue_url=server.url))
        assert (
            "is a node of a cluster: begin the address in STEPWIRE_REDIS_URL with redis+c" in line
        )
        url = f"redis+cluster://127.0.0.1:{server.port}"
        [line] = await missing(Settings(redis_url=url, queue_url=server.url))
        assert "it is no node of a cluster: begin its address with redis://" in line


async def test_the_user_of_the_sentinels_needs_to_ask_for_their_primaries(
    topologies: Topologies,
) -> None:
    """As docs/redis-rights.md has it."""
    user = f"user-{new_id()}"
    url = f"{topologies.watched.url}?sentinel_username={user}&sentinel_password=pw"
    for node in topologies.watched.sentinels:
        with Redis(port=node.port) as redis:
            rules = ("on", ">pw", "-@all", "+ping", "+sentinel|masters")
            redis.execute_command("ACL SETUSER", user, *rules)
    await require_stores(Settings(redis_url=url), takes_runs=True)
    for node in topologies.watched.sentinels:
        with Redis(port=node.port) as redis:
            redis.execute_command("ACL SETUSER", user, "-sentinel|masters")
    [line] = await missing(Settings(redis_url=url))
    assert "sentinel|masters" in line
    assert "pw" not in line.replace("stepwire", "")


async def test_a_name_that_no_sentinel_knows_is_one_line(topologies: Topologies) -> None:
    [line] = await missing(Settings(redis_url=topologies.watched.url.replace(NAME, "other")))
    assert f"no Sentinel names a primary 'other' that is up: it knows {NAME}" in line


LOG, QUEUE = Needs.of_log(REDIS), Needs.of_queue(REDIS, "queue", takes_runs=True)


@pytest.mark.parametrize(
    ("needs", "folder"),
    [
        (LOG, "shared/stepwire_core/log"),
        (LOG, "shared/stepwire_core/storage"),
        (LOG, "worker/stepwire/_transport"),
        (QUEUE, "shared/stepwire_core/queue"),
        (QUEUE, "worker/stepwire/_worker"),
    ],
)
def test_each_command_in_the_code_is_among_the_rights(needs: Needs, folder: str) -> None:
    texts = [path.read_text() for path in (ROOT / folder).rglob("*.py")]
    sent = {name for text in texts for name in SENT.findall(text)}
    assert sent
    assert sent - {"PUBLISH"} <= needs.commands

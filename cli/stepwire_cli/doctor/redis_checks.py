"""A Redis: whether it answers, persists, evicts keys, and has the right time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stepwire_cli.doctor.finding import Finding, error, ok, unknown, warning
from stepwire_core.errors import SettingsError, StoreRefused, StoreUnavailable
from stepwire_core.process.redis_rights import Needs, require
from stepwire_core.redis.commands import command
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.settings import is_loopback
from stepwire_core.values.addresses import redacted

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

MAX_SKEW_S: Final = 2.0
"""Of the clocks: waits and times of steps come from both."""

SLOW_S: Final = 0.05
FULL_SHARE: Final = 0.8
_TRIES: Final = 5
_SECURE: Final = ("rediss", "unix://")


async def look_at_redis(settings: Settings) -> list[Finding]:
    """The Redis of the log, and that of the queue if it is another one."""
    log = Needs.of_log(settings.redis_url)
    queue = Needs.of_queue(settings.effective_queue_url, settings.queue_name, takes_runs=True)
    if settings.effective_queue_url == settings.redis_url:
        return await _look("redis", settings.redis_url, "STEPWIRE_REDIS_URL", log, queue)
    return [
        *await _look("redis", settings.redis_url, "STEPWIRE_REDIS_URL", log),
        *await _look("queue redis", settings.effective_queue_url, "STEPWIRE_QUEUE_URL", queue),
    ]


async def _look(subject: str, url: str, variable: str, *needs: Needs) -> list[Finding]:
    found = list(_address(subject, url, variable))
    try:
        await require(url, variable, *needs)
        found.append(ok(subject, "rights", "its version, its role and all rights are in order"))
    except SettingsError as fault:
        # The very lines with which a worker or gateway would refuse to start.
        for line in str(fault).splitlines():
            what, _, todo = line.rpartition(": ")
            found.append(error(subject, "start", what or line, todo))
    try:
        async with open_store(url) as store:
            primaries = await store.primaries()
            for one in primaries:
                name = subject if len(primaries) == 1 else f"{subject} {_place(one.server)}"
                found += await _answers(name, one)
                found += await _server(name, one)
    except (StoreUnavailable, StoreRefused) as fault:
        if not any(finding.level == "error" for finding in found):
            found.append(error(subject, "answers", str(fault), "look at the server and its log"))
    return found


def _address(subject: str, url: str, variable: str) -> Iterator[Finding]:
    shown = redacted(url)
    if url.startswith(_SECURE) or is_loopback(urlsplit(url).hostname or "localhost"):
        yield ok(subject, "address", f"{variable}={shown}")
    elif "@" not in url:
        yield warning(
            subject,
            "address",
            f"{variable}={shown} has no password, and no TLS",
            "give stepwire a user of its own (docs/operations.md#what-redis-must-be-and-allow) "
            "and an address that begins with rediss:// unless the network is yours alone",
        )
    else:
        yield ok(subject, "address", f"{variable}={shown}, without TLS")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}"


async def _answers(subject: str, store: Store) -> list[Finding]:
    """How fast it is, and how far its clock is from that of this machine."""
    times_s, skews_s = [], []
    for _ in range(_TRIES):
        before, began_s = time.time(), time.monotonic()
        seconds, micros = await store.call(command("TIME"))
        times_s.append(time.monotonic() - began_s)
        # The server read its clock at some time in between: the quickest answer is the most exact.
        skews_s.append(int(seconds) + int(micros) / 1e6 - before - times_s[-1] / 2)
    best = times_s.index(min(times_s))
    quickest_s, skew_s = times_s[best], skews_s[best]
    found = []
    if quickest_s > SLOW_S:
        found.append(
            warning(
                subject,
                "latency",
                f"the quickest of {_TRIES} answers took {quickest_s * 1000:.0f} ms",
                "put workers, gateways and Redis into one region: events wait for a round trip",
            )
        )
    else:
        found.append(ok(subject, "latency", f"{quickest_s * 1000:.1f} ms"))
    if abs(skew_s) > MAX_SKEW_S:
        found.append(
            error(
                subject,
                "clock",
                f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} that "
                "of this machine",
                "run NTP (chrony, systemd-timesyncd) on both: tokens and times need it",
            )
        )
    else:
        found.append(ok(subject, "clock", f"within {MAX_SKEW_S:g} s of this machine's"))
    return found


async def _server(subject: str, store: Store) -> list[Finding]:
    try:
        info: dict[str, Any] = await store.call(command("INFO"))
    except StoreRefused:
        return [
            unknown(
                subject,
                "server",
                "its user lacks +info, so persistence and memory could not be looked at",
            )
        ]
    return [
        *_persistence(subject, info),
        *_memory(subject, info),
        *_clients(subject, info),
        *await _settings_of(subject, store),
    ]


def _persistence(subject: str, info: dict[str, Any]) -> Iterator[Finding]:
    version = info.get("valkey_version") or info.get("redis_version")
    name = "Valkey" if "valkey_version" in info else "Redis"
    yield ok(subject, "version", f"{name} {version}")
    if not int(info.get("aof_enabled", 0)):
        saves = int(info.get("rdb_last_save_time", 0))
        yield warning(
            subject,
            "persistence",
            "it keeps no append-only file"
            + (": a restart loses what came since its last snapshot" if saves else ""),
            "set appendonly yes (appendfsync everysec): else a restart loses sessions and runs",
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield error(
            subject,
            "persistence",
            "its last write to the append-only file has failed",
            "check that its disk has room and that the server may write to it",
        )
    else:
        yield ok(subject, "persistence", "append-only file")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield error(
            subject,
            "snapshots",
            "its last snapshot to disk has failed: by default it then refuses all writes (MISCONF)",
            "look at its log, its disk and vm.overcommit_memory",
        )


def _memory(subject: str, info: dict[str, Any]) -> Iterator[Finding]:
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    mebibytes = used // 2**20
    if most == 0:
        yield warning(
            subject,
            "memory",
            f"it holds {mebibytes} MiB without a limit: the system kills it if memory runs out",
            "set maxmemory to half of what its machine or container has, and maxmemory-policy to "
            "noeviction: a full server then refuses writes with an error",
        )
    elif used > FULL_SHARE * most:
        yield warning(
            subject,
            "memory",
            f"it holds {mebibytes} MiB, {used / most:.0%} of its maxmemory",
            "raise maxmemory, or lower STEPWIRE_SESSION_TTL_S or STEPWIRE_SESSION_MAX_BYTES",
        )
    else:
        yield ok(subject, "memory", f"{mebibytes} MiB, {used / most:.0%} of its maxmemory")
    if evicted := int(info.get("evicted_keys", 0)):
        yield error(
            subject,
            "eviction",
            f"it has evicted {evicted} keys since its start",
            "set maxmemory-policy to noeviction, and share the server with no other program",
        )


_MORE_CLIENTS: Final = "raise maxclients, and the limit of open files of its process"


def _clients(subject: str, info: dict[str, Any]) -> Iterator[Finding]:
    most, now = int(info.get("maxclients", 0)), int(info.get("connected_clients", 0))
    if most and now > FULL_SHARE * most:
        yield warning(
            subject,
            "clients",
            f"{now} of its {most} connections are taken",
            _MORE_CLIENTS,
        )
    if rejected := int(info.get("rejected_connections", 0)):
        yield warning(
            subject,
            "clients",
            f"it has rejected {rejected} connections since its start",
            _MORE_CLIENTS,
        )
    if info.get("role") == "master" and not int(info.get("connected_slaves", 0)):
        yield ok(subject, "replicas", "none: it has the only copy of its data")


_PUBSUB_BYTES: Final = 8 * 1024 * 1024


async def _settings_of(subject: str, store: Store) -> list[Finding]:
    """Settings that only an administrator may read; managed servers show them to no one."""
    try:
        flat = await store.call(command("CONFIG", "GET", "client-output-buffer-limit"))
    except (StoreRefused, StoreUnavailable):
        return [unknown(subject, "limits", "its user may not run CONFIG GET, as it should be")]
    except Exception:  # noqa: BLE001 - a managed server may answer CONFIG with anything
        return [unknown(subject, "limits", "it does not show its settings")]
    limits = _text_of(flat)
    words = limits.split()
    if "pubsub" in words:
        hard = int(words[words.index("pubsub") + 1])
        if 0 < hard < _PUBSUB_BYTES:
            return [
                warning(
                    subject,
                    "limits",
                    f"client-output-buffer-limit pubsub is {hard // 1024} KiB: gateways are "
                    "disconnected when many messages come at once",
                    "set client-output-buffer-limit pubsub 32mb 8mb 60",
                )
            ]
    return [ok(subject, "limits", "the output buffer of pub/sub is large enough")]


def _text_of(reply: Any) -> str:
    values = reply.values() if isinstance(reply, dict) else reply[1:2]
    return " ".join(value.decode() if isinstance(value, bytes) else str(value) for value in values)

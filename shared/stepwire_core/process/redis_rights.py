"""The rights that a process needs in its Redis, checked before it says that it is ready."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import SettingsError, StoreRefused, StoreUnavailable
from stepwire_core.process.diagnosis import diagnose
from stepwire_core.queue.arq_format import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from stepwire_core.queue.run_queue import queue_keys
from stepwire_core.redis.commands import PLAIN, SHARDED, ChannelWords, Script, command
from stepwire_core.redis.failures import lacks_right
from stepwire_core.redis.keys import PREFIX, Channels, SessionKeys, rate_key
from stepwire_core.redis.scripts import lua_source
from stepwire_core.redis.sockets import CONNECT_TIMEOUT_S, address_parts
from stepwire_core.redis.store import probe
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.values.addresses import DEFAULT_QUEUE, RedisAddress, Topology, redacted

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire")

OLDEST: Final = 7
"""The first major version of Redis that has what the scripts use."""

_EVICTS_NOTHING: Final = "noeviction"

_CALL: Final = re.compile(r"redis\.p?call\('([A-Z]+)'")
_MISSING_COMMAND: Final = re.compile(r"'([a-z|]+)' command")

_WITHOUT_KEY: Final = (*("PING", "TIME", "SCRIPT LOAD", "FUNCTION LOAD"),)

_BESIDE_SCRIPTS: Final = {
    "log": "DEL EVALSHA EXISTS FCALL GET HDEL HEXISTS HGET HLEN HMGET HSCAN LPUSHX LRANGE PTTL SET "
    "ZLEXCOUNT ZMSCORE ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZREVRANGEBYSCORE",
    "queue": "DEL EVALSHA EXISTS GET HEXISTS HGET HGETALL HLEN HMGET LPUSHX PTTL SCARD SET ZCARD "
    "ZCOUNT ZMSCORE ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGEBYSCORE",
}
"""The commands sent on their own, beside those that the scripts of a folder call."""

_OF_A_WORKER: Final = frozenset(
    ["BLPOP", "DEL", "LPUSH", "PEXPIRE", "SET", "ZADD", "ZREM", "ZREMRANGEBYSCORE"]
)
"""The commands that only a worker sends to the queue."""

_OPTIONAL: Final = ("CLIENT SETINFO", "CLIENT SETNAME", "INFO", "SELECT")
"""What a process does without, or a certain address needs: these are asked for in no check."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The commands, keys and channels that are used at one address."""

    commands: frozenset[str]
    keys: Sequence[tuple[str, str]]
    """Patterns of keys as ``ACL SETUSER`` takes them, with a key of each."""
    channels: Sequence[tuple[str, str, ChannelWords]] = ()
    """Patterns of channels, with a channel of each and its kind."""
    is_cluster: bool = False

    @classmethod
    def of_log(cls, url: str) -> Needs:
        its = Channels.of(url)
        first = its.prefix + PREFIX
        plain, session = (its.cancel, its.answer), its.session("check")
        is_cluster = RedisAddress.of(url).topology is Topology.CLUSTER
        words = {**dict.fromkeys(plain, PLAIN), session: SHARDED if is_cluster else PLAIN}
        keys = (_SESSION.log, rate_key("check", ""))
        return cls(
            _commands("log", "redis"),
            [(f"~{first}*", its.prefix + key) for key in keys],
            [(f"&{first}*", channel.decode(), kind) for channel, kind in words.items()],
            is_cluster,
        )

    @classmethod
    def of_queue(cls, url: str, name: str, *, takes_runs: bool) -> Needs:
        """``takes_runs`` says whether it is for a worker."""
        prefix = RedisAddress.of(url).prefix
        # Its dead letters and workers stand under its name, too.
        own = [(f"~{prefix}{name}*", prefix + key) for key in (*queue_keys(name), f"{name}:")]
        if name == DEFAULT_QUEUE:
            prefixes = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
            own += [("~arq:*", f"{prefix}x") for prefix in prefixes]
        return cls(_commands("queue") | (_OF_A_WORKER if takes_runs else frozenset()), own)

    def acl(self) -> list[str]:
        """The rules of a user who may do this and nothing else, as ``ACL SETUSER`` takes them."""
        of_cluster = ("CLUSTER INFO", "CLUSTER SLOTS") if self.is_cluster else ()
        kinds = [kind for _, _, kind in self.channels]
        news = [word for of in kinds for word in (of.publish, of.subscribe, of.unsubscribe)]
        names = {*self.commands, *_WITHOUT_KEY, *_OPTIONAL, *of_cluster, *news}
        keys, channels = ([pattern for pattern, *_ in of] for of in (self.keys, self.channels))
        patterns = dict.fromkeys([*keys, *channels])
        return [*patterns, *sorted(map(_right, names))]

    def rights(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Each as ``ACL SETUSER`` takes it, with commands of which one is allowed to those who have
        it."""
        for pattern, key in self.keys:
            yield pattern, [[command, key] for command in ("EXISTS", "GET", "HGETALL")]
            yield pattern, [[command, key, key] for command in ("DEL", "SET", "HSET")]
        for pattern, channel, kind in self.channels:
            yield pattern, [[kind.publish, channel], [kind.subscribe, channel]]
            # Without a channel it is a matter of the command alone.
            for name in (kind.publish, kind.subscribe, kind.unsubscribe):
                yield _right(name), [[name]]
        for without_key in _WITHOUT_KEY:
            yield _right(without_key), [[*without_key.split(), "x"]]
        key = self.keys[0][1]
        for name in sorted(self.commands):
            # Where its key stands differs; a number of keys stands where EVALSHA has it.
            calls = name in {"EVALSHA", "FCALL"}
            yield _right(name), [[name, "x", "1", key] if calls else [name, key, key]]


_SESSION: Final = SessionKeys.of("check")


def _right(command: str) -> str:
    return "+" + command.lower().replace(" ", "|")


def _commands(*folders: str) -> frozenset[str]:
    of = [files("stepwire_core").joinpath(folder, "lua") for folder in folders]
    texts = [text for folder in of for text in _texts(folder)]
    called = {command for text in texts for command in _CALL.findall(text)}
    # What takes no key is looked at by itself.
    return frozenset(called - {"TIME", "PUBLISH"} | set(_BESIDE_SCRIPTS[folders[0]].split()))


def _texts(folder: Traversable) -> Iterator[str]:
    """The scripts of a folder, with the parts below it."""
    for entry in folder.iterdir():
        if entry.name.endswith(".lua"):
            yield entry.read_text()
        elif entry.is_dir():
            yield from _texts(entry)


async def require_stores(settings: Settings, *, takes_runs: bool) -> None:
    """Fail early when the Redis of the log, or that of the queue, cannot do what is needed.

    It takes a few round trips and leaves nothing behind but a script in the server's cache.
    ``takes_runs`` says whether it is for a worker, which needs a little more of the queue.

    Raises:
        SettingsError: nothing answers, or something is missing; a line for each, that says what to
            change.
    """
    log = Needs.of_log(settings.redis_url)
    queue = Needs.of_queue(settings.effective_queue_url, settings.queue_name, takes_runs=takes_runs)
    if settings.effective_queue_url == settings.redis_url:
        await require(settings.redis_url, "STEPWIRE_REDIS_URL", log, queue)
    else:
        await require(settings.redis_url, "STEPWIRE_REDIS_URL", log)
        await require(settings.effective_queue_url, "STEPWIRE_QUEUE_URL", queue)


async def require(url: str, variable: str, *needs: Needs) -> None:
    """The same for the server at one address, which that variable names.

    Raises:
        SettingsError: as :func:`require_stores`.
    """
    where = redacted(url)
    try:
        async with open_store(url) as store:
            await _require_answer(store, url, variable)
            missing = []
            is_cluster = RedisAddress.of(url).topology is Topology.CLUSTER
            servers, away = await store.primaries(), []
            for server in servers:
                try:
                    missing += await _server_faults(server, variable, is_cluster=is_cluster)
                    missing += await _missing_rights(server, needs)
                except StoreUnavailable as error:
                    # The sessions of the others need this process.
                    away.append(error)
                    if len(away) == len(servers):
                        raise
                    extra = {"server": redacted(server.server), "error": str(error)}
                    logger.warning("a node is away; its rights are not checked", extra=extra)
            if missing:
                raise SettingsError("\n".join(dict.fromkeys(missing)))
            prefix = RedisAddress.of(url).prefix
            for need in needs:
                # Without braces, so that every node of a cluster is asked.
                key = next(key for _, key in need.keys if "{" not in key)
                await probe(store, key.removeprefix(prefix) + ":probe")
    except StoreRefused as error:
        raise SettingsError(f"{where} ({variable}): {error}") from error
    except StoreUnavailable as error:
        raise SettingsError(
            f"{where} ({variable}) cannot be used as it is: {error}; repair it, then start again"
        ) from error


async def require_answer(url: str, variable: str) -> None:
    """Only that a Redis answers there and lets us in: for a command that a person has called.

    Raises:
        SettingsError: none does; one line says where, and what to do.
    """
    try:
        async with open_store(url) as store:
            await _require_answer(store, url, variable)
    except StoreRefused as error:
        raise SettingsError(f"{redacted(url)} ({variable}): {error}") from error


async def _ping_one(servers: Sequence[Store]) -> None:
    """Return when one of them answers; of a cluster that is enough."""
    for left, server in enumerate(reversed(servers)):
        try:
            await server.call(command("PING"), within_s=CONNECT_TIMEOUT_S)
        except StoreUnavailable:
            if left == len(servers) - 1:
                raise
        else:
            return


async def _require_answer(store: Store, url: str, variable: str) -> None:
    where = redacted(url)
    try:
        await _ping_one(await store.primaries())
    except StoreUnavailable as error:
        if (why := await diagnose(url, error)) is not None:
            raise SettingsError(f"{where} ({variable}) cannot be used: {why}") from error
        raise SettingsError(
            f"no Redis answers at {where} ({error}): start one there "
            f"(redis-server, valkey-server), set {variable} to where it is, or run "
            "'stepwire dev', which brings its own"
        ) from error


async def _server_faults(store: Store, variable: str, *, is_cluster: bool) -> list[str]:
    """The faults of one server itself."""
    where = redacted(store.server)
    try:
        info: dict[str, Any] = await store.call(command("INFO"))
    except StoreRefused:
        # Not every user may ask; an unknown value is not held against the server.
        return []
    found = []
    # Redis says redis_mode, Valkey says server_mode.
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")) and not is_cluster:
        found.append(
            f"{where} is a node of a cluster: begin the address in {variable} with redis+cluster://"
        )
    version = str(info.get("redis_version", ""))
    if int(version.partition(".")[0] or 0) < OLDEST:
        found.append(
            f"{where} is Redis {version}, which is too old: run Redis {OLDEST} or later there, or "
            "Valkey"
        )
    if info.get("role") == "slave":
        found.append(f"{where} is a replica, which takes no writes: name its primary in {variable}")
    policy = info.get("maxmemory_policy", _EVICTS_NOTHING)
    if info.get("maxmemory", 0) > 0 and policy != _EVICTS_NOTHING:
        found.append(
            f"{where} deletes keys when its memory is full (maxmemory-policy {policy}), and with "
            f"them parts of sessions: set maxmemory-policy to {_EVICTS_NOTHING} there"
        )
    return found


async def _missing_rights(store: Store, needs: Sequence[Needs]) -> list[str]:
    """Which rights its user lacks at one server."""
    rights = [right for need in needs for right in need.rights()]
    if not rights:
        return []
    commands = [json.dumps(words) for _, ways in rights for words in ways]
    try:
        denied = await store.call(Script(lua_source("redis/denied")).on([], commands))
    except StoreRefused as error:
        # Without the right to run scripts the other rights cannot be checked.
        named = _MISSING_COMMAND.search(str(error))
        if named is None or not lacks_right(error):
            raise
        missing = {f"+{named[1]}"}
    else:
        refused = {commands[index] for index in denied}
        missing = {
            right for right, ways in rights if all(json.dumps(words) in refused for words in ways)
        }
        if any(right.startswith("~") for right in missing):
            # To whom a key is closed every command on it is refused: these are not what lacks.
            missing -= {_right(command) for need in needs for command in need.commands}
        missing = {right for right in missing if not _is_covered(right, missing)}
    user = address_parts(store.server).get("username") or "default"
    where = redacted(store.server)
    return [
        f"{user!r} at {where} lacks a right: ACL SETUSER {user} {right} "
        "(all that it needs is in docs/operations.md)"
        for right in sorted(missing)
    ]


def _is_covered(right: str, rights: set[str]) -> bool:
    """Whether another pattern includes it."""
    return any(
        other != right and other.endswith("*") and right.startswith(other[:-1]) for other in rights
    )

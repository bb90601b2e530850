"""Names of everything that stepwire keeps in Redis.

All keys of a session share the hash tag ``{session}``, so that a session lives in one slot of a
Redis Cluster and a script may touch all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from stepwire_core.values.addresses import RedisAddress

PREFIX = "stepwire:"

ANSWER: Final = "answer"

GONE = b"gone"
"""The last message on the channel of a session that is deleted."""

ALL_RUNS = "*"
"""Stands in the channel of the cancellations for every run of a session that was deleted."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of one installation.

    Redis has one set of channels for all of its databases, so a channel names its database: as
    ``@<number>`` at its end, and not at all in database 0. A message is news and no more: what it
    says is looked up in the log before anything is ended or cancelled because of it.
    """

    suffix: str
    prefix: str = ""
    """As the keys have it."""

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, url: str) -> Channels:
        """Those of the database, and of the prefix, that an address names."""
        return cls(_suffix(url), RedisAddress.of(url).prefix)

    def session(self, session_id: str) -> bytes:
        """Carries the session's events."""
        return f"{self.prefix}{SessionKeys.of(session_id).channel}{self.suffix}".encode()

    @property
    def cancel(self) -> bytes:
        """Carries ``<session> <run>`` for every run that is to be cancelled, and
        ``<session> *`` when the session is deleted."""
        return f"{self.prefix}{PREFIX}cancel{self.suffix}".encode()

    @property
    def sessions(self) -> bytes:
        """Carries ``<number> <session>`` for every change of the list of sessions."""
        return f"{self.prefix}{PREFIX}sessions{self.suffix}".encode()

    @property
    def answer(self) -> bytes:
        """Carries ``<session> <ask>`` for every ask that was answered, and
        ``<session> <run>`` for every result that a caller awaits."""
        return f"{self.prefix}{PREFIX}{ANSWER}{self.suffix}".encode()


class SessionKeys:
    """The keys of one session; the scripts derive ``…:out:<field>:<step>`` from them.

    Each is made when it is asked for: a call needs few of them, and a gateway that comes back is
    asked for thousands of sessions at once.
    """

    __slots__ = ("channel",)

    def __init__(self, session_id: str) -> None:
        self.channel: Final = f"{PREFIX}{{{session_id}}}"

    @classmethod
    def of(cls, session_id: str) -> SessionKeys:
        return cls(session_id)

    @property
    def log(self) -> str:
        return f"{self.channel}:log"

    @property
    def state(self) -> str:
        return f"{self.channel}:state"

    @property
    def meta(self) -> str:
        return f"{self.channel}:meta"

    @property
    def open(self) -> str:
        return f"{self.channel}:open"

    @property
    def tail(self) -> str:
        return f"{self.channel}:tail"

    @property
    def files(self) -> str:
        return f"{self.channel}:files"

    @property
    def ending(self) -> str:
        return f"{self.channel}:ending"

    @property
    def results(self) -> str:
        return f"{self.channel}:results"

    @property
    def turns(self) -> str:
        return f"{self.channel}:turns"

    @property
    def waiting(self) -> str:
        return f"{self.channel}:waiting"

    @property
    def requests(self) -> str:
        return f"{self.channel}:requests"

    def out(self, field: str, step_id: str) -> str:
        """The text that streams into a field of a step."""
        return f"{self.channel}:out:{field}:{step_id}"

    def durable(self, run_id: str) -> str:
        """The results of the durable steps of a run, which the scripts delete with its end."""
        return f"{self.channel}:durable:{run_id}"

    @property
    def script_keys(self) -> tuple[str, str, str, str]:
        """The KEYS of every script, in their order."""
        base = self.channel
        return (f"{base}:log", f"{base}:state", f"{base}:meta", f"{base}:open")


INDEX: Final = f"{PREFIX}index:{{sessions}}:"
"""The beginning of the names of the keys that tell which sessions exist."""

INDEX_KEYS: Final = tuple(INDEX + name for name in ("time", "ids", "subjects", "rev"))
"""The KEYS of its scripts, in their order."""


def subject_digest(subject: str | None) -> str:
    """The name of a subject in the index, as it may have any characters; empty for None."""
    return sha256(subject.encode()).hexdigest()[:32] if subject else ""


@lru_cache(maxsize=16)
def _suffix(url: str) -> str:
    # redis-py reads the address: only a process that is about to connect to it comes here.
    from stepwire_core.redis.sockets import address_parts

    database = int(address_parts(url).get("db") or 0)
    return f"@{database}" if database else ""


LIFE: Final = ["epoch", "born"]
"""Fields of a session's ``meta``: its present epoch, and the first one it had, which tells it from
earlier and later sessions of its id. One of an older version has no such field."""


def object_folder(session_id: str, born: str) -> str:
    """Where in object storage the bytes of a session's elements are: not where those of another one
    are that had, or will have, the same id."""
    return f"{session_id}/{born}" if born else session_id


def rate_key(what: str, who: str) -> str:
    """``stepwire:rate:<what>:<digest>``: a counter of what a caller has done, with a TTL.

    A subject may have any characters, and nothing of it stands in a key.
    """
    return f"{PREFIX}rate:{what}:{sha256(who.encode()).hexdigest()[:32]}"


def claim_key(id_: str) -> str:
    """``stepwire:claim:<id>``: a request is about to make this, and no other may; with a TTL."""
    return f"{PREFIX}claim:{id_}"


def is_of_session(channel: bytes) -> bool:
    """Whether it is the channel of a session: on a cluster it is a sharded one, in the slot of the
    session's keys, and the scripts publish with ``NEWS``. All others are plain channels."""
    return b"{" in channel


def session_of_channel(channel: bytes) -> str:
    """The session whose events that channel carries."""
    return channel.partition(b"{")[2].partition(b"}")[0].decode()

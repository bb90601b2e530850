"""Names of everything that stepwire keeps in Redis.

All keys of a session share the hash tag ``{session}``, so that a session lives in one slot of a
Redis Cluster and a script may touch all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

PREFIX = "stepwire:"

CANCEL_CHANNEL = b"stepwire:cancel"
"""Carries ``<session> <run>`` for every run that somebody wants cancelled."""

ANSWER_CHANNEL = b"stepwire:answer"
"""Carries ``<session> <ask>`` for every ask that somebody has answered, and ``<session> <run>`` for
every result that somebody awaits."""

GONE = b"gone"
"""What a session's channel carries last, when the session is deleted."""


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session; the scripts derive ``…:out:<field>:<step>`` from them."""

    log: str
    state: str
    meta: str
    open: str
    files: str
    ending: str
    results: str
    channel: str

    @classmethod
    def of(cls, session_id: str) -> SessionKeys:
        base = f"{PREFIX}{{{session_id}}}"
        return cls(
            log=f"{base}:log",
            state=f"{base}:state",
            meta=f"{base}:meta",
            open=f"{base}:open",
            files=f"{base}:files",
            ending=f"{base}:ending",
            results=f"{base}:results",
            channel=base,
        )

    @property
    def script_keys(self) -> tuple[str, str, str, str]:
        """The KEYS of every script, in their order."""
        return (self.log, self.state, self.meta, self.open)


def rate_key(what: str, who: str) -> str:
    """``stepwire:rate:<what>:<digest>``: a counter of what a caller has done, with a TTL.

    A subject may have any characters, and nothing of it stands in a key.
    """
    return f"{PREFIX}rate:{what}:{sha256(who.encode()).hexdigest()[:32]}"


def session_of_channel(channel: bytes) -> str:
    """The session whose events that channel carries."""
    return channel[len(PREFIX) + 1 : -1].decode()

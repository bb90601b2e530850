"""The meaning of an error of Redis for the caller: the one place where that is decided.

Redis says it in the first word of its reply. redis-py makes classes of some of these words and
leaves them out of the text then; of the others it makes a bare ``ResponseError``.
"""

from __future__ import annotations

import builtins
import re
from enum import StrEnum
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)


class Remedy(StrEnum):
    """What makes a call that Redis has refused succeed."""

    REPEAT = "repeat"
    """It passes: the same call, a little later."""
    RECONNECT = "reconnect"
    """The connection is of no use any more, nor are those made with it: connect anew, then repeat.
    """
    CHANGE = "change"
    """It cannot get better by itself: a person must change a setting, here or in Redis."""


_OF_WORD: Final = {
    "ASK": Remedy.REPEAT,  # a key is on its way to another node
    "BUSY": Remedy.REPEAT,  # another client's script runs for too long
    "CLUSTERDOWN": Remedy.REPEAT,
    "LOADING": Remedy.REPEAT,
    "MISCONF": Remedy.REPEAT,  # snapshots cannot be written to the disk
    "NOREPLICAS": Remedy.REPEAT,  # fewer than min-replicas-to-write
    "NOSCRIPT": Remedy.REPEAT,  # a restart has lost it again between its loading and its call
    "OOM": Remedy.REPEAT,
    "TRYAGAIN": Remedy.REPEAT,
    "MASTERDOWN": Remedy.RECONNECT,  # a replica that has lost its primary
    "READONLY": Remedy.RECONNECT,  # a primary that was demoted, and keeps its connections
    "UNBLOCKED": Remedy.RECONNECT,  # the same, said to a blocking call
    "CROSSSLOT": Remedy.CHANGE,
    "DENIED": Remedy.CHANGE,  # protected mode
    "MOVED": Remedy.CHANGE,
    "NOAUTH": Remedy.CHANGE,
    "NOPERM": Remedy.CHANGE,
    "NOPROTO": Remedy.CHANGE,
    "WRONGPASS": Remedy.CHANGE,
}

# Before the other way round: some of these are ConnectionErrors for redis-py.
_OF_CLASS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (NoPermissionError, "NOPERM"),
    (AuthenticationWrongNumberOfArgsError, "NOAUTH"),
    (AuthenticationError, "NOAUTH"),
    (AuthorizationError, "NOPERM"),
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (BusyLoadingError, "LOADING"),
    (NoScriptError, "NOSCRIPT"),
)

_IS_NODE: Final = "it is a node of a cluster: begin its address with redis+cluster://"

_ADVICE: Final = {
    "CROSSSLOT": _IS_NODE,
    "MOVED": _IS_NODE,
    "DENIED": "it is in protected mode: give it a password, or bind it to loopback",
    "NOAUTH": "put the right user and password into its address (redis://user:password@host)",
    "WRONGPASS": "put the right user and password into its address (redis://user:password@host)",
    "NOPERM": "give its user the right (ACL SETUSER); docs/operations.md lists what is needed",
    "ERR": "it needs Redis 7 or Valkey",
}

# "ERR" says nothing by itself; these texts do.
_HOPELESS: Final = re.compile(
    r"unknown command|DB index is out of range|invalid DB index|Client sent AUTH|AUTH <password>|"
    r"cluster support disabled",
    re.IGNORECASE,
)

_NO_DATABASE: Final = re.compile("DB index", re.IGNORECASE)

# A pipeline puts the whole command in front, with whatever a user has in it.
_PIPELINE: Final = "of pipeline caused error: "

# What redis.call says inside a script when a right is missing.
_NO_RIGHT: Final = "ACL failure in script"

# What redis.call says inside a script on a node of a cluster, when the slot of its keys moves.
_NOT_LOCAL: Final = "non local key"

# What FCALL says where EVALSHA says NOSCRIPT.
_NO_FUNCTION: Final = "Function not found"


def reason(error: BaseException) -> str:
    """What Redis has said, without the command."""
    _, _, said = str(error).rpartition(_PIPELINE)
    # Its asyncio client shows a tuple of it.
    return re.sub(r"^\(['\"](.*)['\"],\)$", r"\1", said, flags=re.DOTALL)


def word_of(error: BaseException) -> str:
    """The first word of the reply, as Redis has sent it; empty: it was no reply."""
    for class_, word in _OF_CLASS:
        if isinstance(error, class_):
            return word
    if not isinstance(error, ResponseError):
        return ""
    text = reason(error)
    if text.startswith(_NO_RIGHT):
        return "NOPERM"
    if _NO_FUNCTION in text:
        return "NOSCRIPT"
    if _NOT_LOCAL in text:
        return "TRYAGAIN"
    first = text.split(" ", 1)[0]
    # redis-py has cut off "ERR", and the words of its own classes, which are above.
    return first if first.isupper() else "ERR"


def is_script_missing(reply: object) -> bool:
    """Whether the server says that it does not have a script or function; it has done nothing."""
    return isinstance(reply, ResponseError) and word_of(reply) == "NOSCRIPT"


def is_loaded_already(error: ResponseError) -> bool:
    """Whether a library was not loaded because another client has loaded it."""
    return "already exists" in str(error)


def lacks_right(error: BaseException) -> bool:
    """Whether the user of the connection lacks a right; ``error`` may be one of ours for it."""
    return word_of(error.__cause__ or error) == "NOPERM"


def is_timeout(error: BaseException) -> bool:
    """Whether the server has said nothing in time."""
    return isinstance(error, (TimeoutError, builtins.TimeoutError))


def remedy(error: BaseException) -> Remedy | None:
    """The remedy; None if the call itself is wrong, or if Redis did not raise this error."""
    word = word_of(error)
    if word in _OF_WORD:
        return _OF_WORD[word]
    if word:
        return Remedy.CHANGE if _HOPELESS.search(str(error)) else None
    if isinstance(error, MaxConnectionsError):
        return Remedy.REPEAT
    # What answers does not speak Redis: a proxy in front of it, say, for a moment.
    if isinstance(error, (ConnectionError, InvalidResponse, TimeoutError, OSError)):
        return Remedy.RECONNECT
    return None


def advice(error: BaseException) -> str:
    """Of :attr:`Remedy.CHANGE`, what to change."""
    if _NO_DATABASE.search(str(error)):
        return "end its address in the number of a database that it has (0 to 15 by default)"
    if "cluster support disabled" in str(error):
        return "it is no node of a cluster: begin its address with redis://"
    return _ADVICE.get(word_of(error), _ADVICE["ERR"])


def condemns(error: BaseException) -> bool:
    """Whether a reply says that the server at the other end is the wrong one by now, so that all
    connections to it are of no use."""
    return word_of(error) in {"MASTERDOWN", "READONLY", "UNBLOCKED"}

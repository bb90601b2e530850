"""The meaning of a reply is decided once, for the worker, the gateway and the command line."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, TimeoutError

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.connections import translation
from stepwire_core.redis.failures import Remedy, condemns, remedy


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("NOREPLICAS Not enough good replicas to write.", Remedy.REPEAT),
        ("MISCONF Redis is configured to save RDB snapshots", Remedy.REPEAT),
        ("BUSY Redis is busy running a script.", Remedy.REPEAT),
        ("LOADING Redis is loading the dataset in memory", Remedy.REPEAT),
        ("OOM command not allowed when used memory > 'maxmemory'.", Remedy.REPEAT),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Remedy.REPEAT),
        ("CLUSTERDOWN The cluster is down", Remedy.REPEAT),
        ("READONLY You can't write against a read only replica.", Remedy.RECONNECT),
        ("MASTERDOWN Link with MASTER is down", Remedy.RECONNECT),
        ("UNBLOCKED force unblock from blocking operation", Remedy.RECONNECT),
        ("ERR max number of clients reached", Remedy.RECONNECT),
        ("NOPERM this user has no permissions to run the 'subscribe' command", Remedy.CHANGE),
        ("NOAUTH Authentication required.", Remedy.CHANGE),
        ("WRONGPASS invalid username-password pair or user is disabled.", Remedy.CHANGE),
        ("DENIED Redis is running in protected mode", Remedy.CHANGE),
        ("MOVED 3999 127.0.0.1:6381", Remedy.CHANGE),
        ("ERR DB index is out of range", Remedy.CHANGE),
        ("ERR unknown command 'EVALSHA'", Remedy.CHANGE),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", None),
        ("ERR stepwire: unknown op W", None),
        ("NOSCRIPT No matching script.", Remedy.REPEAT),
        ("ERR Function not found", Remedy.REPEAT),
    ],
)
def test_the_first_word_of_a_reply_says_what_helps(reply: str, expected: Remedy | None) -> None:
    error = BaseParser.parse_error(reply)
    assert remedy(error) is expected
    ours = translation(error)
    if expected is None:
        assert ours is None
    else:
        kind = StoreRefused if expected is Remedy.CHANGE else StoreUnavailable
        assert isinstance(ours, kind)


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError("late"), OSError(104)])
def test_a_lost_connection_is_made_anew(error: Exception) -> None:
    assert remedy(error) is Remedy.RECONNECT
    assert not condemns(error)


def test_a_reply_of_a_demoted_primary_condemns_its_connections() -> None:
    assert condemns(BaseParser.parse_error("READONLY You can't write against a read only replica."))
    assert not condemns(BaseParser.parse_error("NOREPLICAS Not enough good replicas to write."))


def test_a_fault_of_ours_is_not_an_error_of_redis() -> None:
    assert remedy(ValueError("x")) is None

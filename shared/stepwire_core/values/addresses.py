"""Addresses of Redis: which ones every client of ours can use, what they name, how they are shown,
and the name of the queue at one."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_QUEUE: Final = "stepwire:queue"


class Topology(StrEnum):
    """What stands at an address."""

    STANDALONE = ""
    """One server, or what stands for one: a virtual address, a proxy, a socket."""
    SENTINEL = "sentinel"
    """A primary whose address Sentinels know."""
    CLUSTER = "cluster"
    """A Redis Cluster."""


SCHEMES: Final = (
    *("redis://", "rediss://", "unix://"),
    *("redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"),
)

_ESCAPES: Final = "what is special in a password is written as %2F"
_FORMS: Final = {
    Topology.STANDALONE: f"redis://host:6379/0; {_ESCAPES}",
    Topology.SENTINEL: f"redis+sentinel://host1:26379,host2:26379/name/0; {_ESCAPES}",
    Topology.CLUSTER: f"redis+cluster://host1:6379,host2:6379; {_ESCAPES}",
}
_PORTS: Final = {Topology.SENTINEL: 26379, Topology.CLUSTER: 6379}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What an address names."""

    topology: Topology
    client_url: str
    """The address as a client of redis-py takes it, of a single server: without our own options."""
    hosts: tuple[tuple[str, int], ...] = ()
    """The Sentinels, or some nodes of the cluster."""
    primary: str = ""
    """By what name Sentinels know the primary."""
    sentinel_login: str = ""
    prefix: str = ""
    """What the names of all keys and channels begin with, so that several installations can share
    a server; usually empty."""

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Its parts.

        Raises:
            ValueError: it is wrong; the message says what to write, and nothing of the address.
        """
        return _parsed(url)

    def server(self, host: str, port: int) -> str:
        """The address of one server at this one, with its user, database and options."""
        parts = urlsplit(self.client_url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{_place(host, port)}").geturl()

    def sentinel(self, host: str, port: int) -> str:
        """The address of a Sentinel, which has users of its own."""
        parts = urlsplit(self.client_url)
        tls = [(name, value) for name, value in _options(parts) if name in _TLS_OPTIONS]
        place = self.sentinel_login + _place(host, port)
        return parts._replace(netloc=place, path="", query=urlencode(tls)).geturl()


def redis_address(value: str) -> str:
    """The address, if all kinds of clients take it: blocking or not, over TCP, TLS or a socket.

    Each setting is checked with it once; no client finds fault with an address later.

    Raises:
        ValueError: it is wrong; the message says what to write, and nothing of the address.
    """
    RedisAddress.of(value)
    return value


@lru_cache(maxsize=32)
def _parsed(url: str) -> RedisAddress:
    if not url.startswith(SCHEMES):
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)}")
    scheme, _, kind = url.partition("://")[0].partition("+")
    topology = Topology(kind)
    form = _FORMS[topology]
    parts = split_address(url, form) if topology is Topology.STANDALONE else urlsplit(url)
    if parts.fragment or "@" in parts.query:
        # A '#' or '?' in a password would cut the address in two.
        raise ValueError(f"is not an address; it has the form {form}")
    hosts: tuple[tuple[str, int], ...] = ()
    primary, path = "", parts.path
    if topology is not Topology.STANDALONE:
        hosts = _hosts(parts.netloc.rpartition("@")[2], _PORTS[topology], form)
    if topology is Topology.SENTINEL:
        primary, slash, database = path.removeprefix("/").partition("/")
        path = slash + database
        if not primary:
            raise ValueError(f"must name the primary; it has the form {form}")
    # The client would take any other path for database 0.
    if scheme != "unix" and not re.fullmatch(r"(/[0-9]*)?", path, re.ASCII):
        raise ValueError(f"must end in the number of a database, if anything: {form}")
    _check_options(parts, scheme, topology)
    given = dict(_options(parts))
    if topology is Topology.CLUSTER and int(given.get("db") or path.removeprefix("/") or 0):
        raise ValueError("names a database, and a cluster has only number 0: leave it out")
    theirs = [(name, value) for name, value in given.items() if name not in _OF_STEPWIRE]
    user, password = given.get("sentinel_username", ""), given.get("sentinel_password", "")
    client_url = parts._replace(scheme=scheme, path=path, query=urlencode(theirs)).geturl()
    return RedisAddress(
        topology,
        url if topology is Topology.STANDALONE and len(theirs) == len(given) else client_url,
        hosts,
        unquote(primary),
        f"{quote(user, '')}:{quote(password, '')}@" if password else "",
        given.get("prefix", ""),
    )


def _hosts(places: str, default: int, form: str) -> tuple[tuple[str, int], ...]:
    found = []
    for place in places.split(","):
        parts = split_address(f"//{place}", form)
        if not parts.hostname or parts.netloc != place:
            raise ValueError(f"is not an address; it has the form {form}")
        found.append((parts.hostname, parts.port or default))
    return tuple(found)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _options(parts: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(parts.query, keep_blank_values=True)


def split_address(url: str, form: str) -> SplitResult:
    """The parts of an address.

    Raises:
        ValueError: it has none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is not an address; it has the form {form}") from None
    return parts


def redacted(url: str) -> str:
    """An address as it may stand in messages and logs; the one place where that is decided.

    It may be malformed, too: all before the last ``@`` may be a password, and so may the value of
    every option that is not known to be harmless.
    """
    scheme, user, rest = re.fullmatch(r"([\w+]+://)?(.*@)?(.*)", url, re.DOTALL).groups("")  # type: ignore[union-attr]
    if user:
        name, colon, _ = user.partition(":")
        # Without a colon it is a user's name by its form, and by mistake often the password.
        user = f"{name}:***@" if colon else "***@"
    path, mark, query = rest.partition("?")
    return scheme + user + path + mark + re.sub(r"([^=&]*)=([^&]*)", _shown_option, query)


def _shown_option(match: re.Match[str]) -> str:
    return match[0] if match[1] in _HARMLESS else f"{match[1]}=***"


def _check_options(parts: SplitResult, scheme: str, topology: Topology) -> None:
    known = _OPTIONS | (_TLS_OPTIONS if scheme == "rediss" else {})
    if topology is Topology.SENTINEL:
        known |= _SENTINEL_OPTIONS
    for name, given in _options(parts):
        check = known.get(name)
        if check is None:
            raise ValueError(_unknown(name, known, topology))
        if not check(given):
            raise ValueError(f"has an option {name} of another value than {_VALUES[name]}")


def _tls_scheme(topology: Topology) -> str:
    return f"rediss+{topology}://" if topology else "rediss://"


def _unknown(name: str, known: dict[str, _Check], topology: Topology) -> str:
    if name in _OURS:
        return f"has an option {name}: leave it out; stepwire decides this for each of its clients"
    if name in _TLS_OPTIONS:
        return f"has an option {name}, which is for TLS: begin it with {_tls_scheme(topology)}"
    if name in _SENTINEL_OPTIONS:
        return f"has an option {name}, which is for Sentinel: begin it with redis+sentinel://"
    return (
        f"has an option {name!r}, which does not exist; behind the '?' there may be "
        + ", ".join(known)
    )


_Check = Callable[[str], bool]


def _one_of(*values: str) -> _Check:
    return lambda given: given.lower() in values


def _is_file(given: str) -> bool:
    try:
        with Path(given).open("rb"):
            return True
    except OSError:
        return False


def _is_ciphers(given: str) -> bool:
    try:
        ssl.create_default_context().set_ciphers(given)
    except ssl.SSLError:
        return False
    return True


_OPTIONS: Final[dict[str, _Check]] = {
    "db": lambda given: re.fullmatch(r"[0-9]{1,9}", given, re.ASCII) is not None,
    "username": bool,
    "password": bool,
    # CLIENT SETNAME takes no spaces.
    "client_name": lambda given: re.fullmatch(r"[!-~]+", given, re.ASCII) is not None,
    # No braces: they decide in which slot of a cluster a key is.
    "prefix": lambda given: re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", given, re.ASCII) is not None,
}
_SENTINEL_OPTIONS: Final[dict[str, _Check]] = {"sentinel_username": bool, "sentinel_password": bool}
_OF_STEPWIRE: Final = _SENTINEL_OPTIONS.keys() | {"prefix"}
"""Options that no client of redis-py knows."""

_TLS_OPTIONS: Final[dict[str, _Check]] = {
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_check_hostname": _one_of("true", "false", "yes", "no", "1", "0"),
    "ssl_ca_certs": _is_file,
    "ssl_certfile": _is_file,
    "ssl_keyfile": _is_file,
    "ssl_ciphers": _is_ciphers,
}
_VALUES: Final = {
    "db": "a number",
    "username": "a name",
    "password": "a password",
    "client_name": "a name without spaces",
    "prefix": "up to 64 letters, digits and ._:-",
    "sentinel_username": "a name",
    "sentinel_password": "a password",
    "ssl_cert_reqs": "none, optional or required",
    "ssl_check_hostname": "true or false",
    **dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), "a file that can be read"),
    "ssl_ciphers": "a list of ciphers as OpenSSL takes it",
}
_OURS: Final = frozenset(
    {"decode_responses", "encoding", "encoding_errors", "health_check_interval", "max_connections"}
    | {"protocol", "retry_on_error", "retry_on_timeout", "socket_connect_timeout"}
    | {"socket_keepalive", "socket_read_size", "socket_timeout", "timeout"}
)
"""Options of redis-py that would take from our clients what they rely on: replies as bytes, their
limits in time, one protocol."""

_HARMLESS: Final = (_OPTIONS.keys() | _TLS_OPTIONS.keys() | _OURS | {"sentinel_username"}) - {
    "password"
}

"""Addresses of Redis: which ones every client of ours can use, how they are shown, and the name of
the queue at one."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

DEFAULT_QUEUE: Final = "stepwire:queue"

SCHEMES: Final = ("redis://", "rediss://", "unix://")

_FORM: Final = "redis://host:6379/0; what is special in a password is written as %2F"


def redis_address(value: str) -> str:
    """The address, if all kinds of clients take it: blocking or not, over TCP, TLS or a socket.

    Each setting is checked with it once; no client finds fault with an address later.

    Raises:
        ValueError: it is wrong; the message says what to write, and nothing of the address.
    """
    if not value.startswith(SCHEMES):
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)}")
    parts = split_address(value, _FORM)
    if parts.fragment or "@" in parts.query:
        # A '#' or '?' in a password would cut the address in two.
        raise ValueError(f"is not an address; it has the form {_FORM}")
    # The client would take any other path for database 0.
    if parts.scheme != "unix" and not re.fullmatch(r"(/[0-9]*)?", parts.path, re.ASCII):
        raise ValueError("must end in the number of a database, if anything: redis://host:6379/0")
    _check_options(parts)
    return value


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
    scheme, user, rest = re.fullmatch(r"(\w+://)?(.*@)?(.*)", url, re.DOTALL).groups("")  # type: ignore[union-attr]
    if user:
        name, colon, _ = user.partition(":")
        # Without a colon it is a user's name by its form, and by mistake often the password.
        user = f"{name}:***@" if colon else "***@"
    path, mark, query = rest.partition("?")
    return scheme + user + path + mark + re.sub(r"([^=&]*)=([^&]*)", _shown_option, query)


def _shown_option(match: re.Match[str]) -> str:
    return match[0] if match[1] in _HARMLESS else f"{match[1]}=***"


def _check_options(parts: SplitResult) -> None:
    known = _OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
    for name, given in parse_qsl(parts.query, keep_blank_values=True):
        check = known.get(name)
        if check is None:
            raise ValueError(_unknown(name, parts.scheme))
        if not check(given):
            raise ValueError(f"has an option {name} of another value than {_VALUES[name]}")


def _unknown(name: str, scheme: str) -> str:
    if name in _OURS:
        return f"has an option {name}: leave it out; stepwire decides this for each of its clients"
    if name in _TLS_OPTIONS:
        return f"has an option {name}, which is for TLS: begin it with rediss://"
    names = ", ".join((*_OPTIONS, *(_TLS_OPTIONS if scheme == "rediss" else ())))
    return f"has an option {name!r}, which does not exist; behind the '?' there may be {names}"


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
}
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

_HARMLESS: Final = (_OPTIONS.keys() | _TLS_OPTIONS.keys() | _OURS) - {"password"}

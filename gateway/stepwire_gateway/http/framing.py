"""The host that the head of a request names, and whether a body follows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]*@)?([^/?#@]+)", re.IGNORECASE)


class Refused(Exception):
    """The bytes are not a request that can be answered; the connection ends with this problem."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def has_body(method: bytes, version: str, fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a body follows these header fields.

    The parser has refused everything else that could be read in two ways.

    Raises:
        Refused: it is not known what this request is, or where it ends.
    """
    if version not in _VERSIONS:
        raise Refused(505, "version_not_supported", f"HTTP/{version}: this is HTTP/1.1")
    if method == b"CONNECT":
        raise Refused(501, "not_implemented", "CONNECT: this is not a proxy")
    hosts = _values(fields, b"host")
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        # RFC 9112, 3.2.
        raise Refused(400, "bad_request", "exactly one Host field is needed")
    codings = [value.lower() for value in _values(fields, b"transfer-encoding")]
    if codings and version == "1.0":
        # RFC 9112, 6.1.
        raise Refused(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding")
    if codings and codings != [b"chunked"]:
        raise Refused(501, "not_implemented", "the only Transfer-Encoding here is 'chunked'")
    return bool(codings) or _values(fields, b"content-length") not in ([], [b"0"])


def _values(fields: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name == wanted]


def host_of(target: bytes) -> bytes | None:
    """The host of an address in absolute form, which wins over ``Host`` (RFC 9112, 3.2.2)."""
    match = _ABSOLUTE.match(target)
    return None if match is None else match[2]

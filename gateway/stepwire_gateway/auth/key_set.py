"""A JSON Web Key Set (RFC 7517) as another server publishes it, fetched within bounds."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from jwt import PyJWK

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""The algorithms that are accepted: a secret in the set is not a public key."""

TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 512 * 1024
"""A key set is a few kilobytes; a larger answer is something else."""

_READ_BYTES: Final = 64 * 1024


class UnusableKeySet(Exception):
    """The server did not give a key set; the message says what it did."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that can verify tokens, and the ids of all, also of those that cannot."""

    keys: tuple[PyJWK, ...] = ()
    ids: frozenset[str] = frozenset()

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The key of that id; without an id, the only one for that algorithm."""
        fitting = [
            key
            for key in self.keys
            if key.algorithm_name == algorithm and key_id in (None, key.key_id)
        ]
        # With two keys and no id, the choice would be a guess.
        return fitting[0] if len(fitting) == 1 else None


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        # urllib then raises the redirect as the error that it is here: the address of the keys is
        # trusted, and another one that it names is not.
        del req, fp, code, msg, headers, newurl


_OPENER: Final = build_opener(_NoRedirects)


def fetch_key_set(url: str) -> KeySet:
    """Fetch the set; redirects are not followed, and a key that cannot be read is left out.

    Connecting, each wait for the headers, and the body may take :data:`TIMEOUT_S`.

    Raises:
        UnusableKeySet: the server does not answer in time, not with 200, not with a key set that
            has a usable key, or with more than :data:`MAX_BYTES`.
    """
    try:
        with _OPENER.open(Request(url), timeout=TIMEOUT_S) as response:  # noqa: S310 - http(s) alone
            body = _read(response)
    except HTTPError as error:
        error.close()
        raise UnusableKeySet(_refusal(error)) from None
    except (URLError, HTTPException, OSError) as error:
        raise UnusableKeySet(f"no answer: {error}") from error
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableKeySet(f"the answer is not JSON: {error}") from error
    return _parsed(document)


def _read(response: HTTPResponse) -> bytes:
    # The time limit of the socket begins anew with every byte.
    until = time.monotonic() + TIMEOUT_S
    parts, size = [], 0
    while part := response.read1(_READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise UnusableKeySet(f"the answer is larger than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise UnusableKeySet(f"the answer is not complete after {TIMEOUT_S:g} s")
    if response.length:
        raise UnusableKeySet(f"the answer breaks off {response.length} bytes before its end")
    return b"".join(parts)


def _refusal(error: HTTPError) -> str:
    if 300 <= error.code < 400:
        return (
            f"HTTP {error.code}: a redirect, which is not followed: set STEPWIRE_AUTH_JWKS_URL to "
            "where the keys are"
        )
    return f"HTTP {error.code}"


def _parsed(document: object) -> KeySet:
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise UnusableKeySet('the answer is not a key set, an object with a list "keys"')
    entries = [entry for entry in listed if isinstance(entry, dict)]
    keys = tuple(key for entry in entries if (key := _usable(entry)) is not None)
    if not keys:
        raise UnusableKeySet(f"no key in the set can verify one of {', '.join(ALGORITHMS)}")
    return KeySet(keys, frozenset(e["kid"] for e in entries if isinstance(e.get("kid"), str)))


def _usable(entry: dict[str, Any]) -> PyJWK | None:
    try:
        key = PyJWK.from_dict(entry)
    except Exception:  # noqa: BLE001 - whatever the library makes of another server's numbers
        return None
    if key.algorithm_name in ALGORITHMS and key.public_key_use in ("sig", None):
        return key
    return None

"""Tokens that have been checked, so that each is checked once and not with every request."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stepwire_gateway.auth.caller import Caller

MOST: Final = 8_192
"""The tokens that are remembered; of more, those that have not been used for longest are not."""


class KnownTokens:
    """The callers of tokens whose signature and claims were found valid.

    A token that has ended is not known any more, and neither is one that was checked with other
    keys than those that count now. Nothing is remembered of a token that was refused: any client
    can invent such tokens.
    """

    def __init__(self) -> None:
        # By digest: a token is long, and secret.
        self._callers: OrderedDict[bytes, tuple[int, Caller]] = OrderedDict()

    def caller(self, token: str, keys: int) -> Caller | None:
        """The caller; ``keys`` is the number of the set of keys that counts now."""
        digest = _digest(token)
        found = self._callers.get(digest)
        if found is None:
            return None
        checked_with, caller = found
        if checked_with != keys or caller.has_expired:
            del self._callers[digest]
            return None
        self._callers.move_to_end(digest)
        return caller

    def remember(self, token: str, keys: int, caller: Caller) -> None:
        """It was found valid with that set of keys."""
        self._callers[_digest(token)] = keys, caller
        if len(self._callers) > MOST:
            self._callers.popitem(last=False)


def _digest(token: str) -> bytes:
    # A header may hold halves of surrogate pairs.
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

"""What of the streaming texts a client has been told, and what is missing."""

from __future__ import annotations

from typing import Final, NamedTuple
from zlib import crc32

_REPLACED: Final = "\ufffd"


class Missing(NamedTuple):
    """What a client lacks of a text."""

    text: str
    is_anew: bool
    """Whether it is the whole text, since what was told before is not its beginning."""


class Texts:
    """Lengths and checksums of what was told, by the id of the step (or any other key).

    The texts themselves are not kept: there may be megabytes, for each client.

    Half of a surrogate pair is held back until the other half is there: in a document both are one
    character, and two pieces that end and begin in the middle of it would be none. A snapshot that
    is taken in between has U+FFFD for it; what follows is then told when a document has all of it.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, int]] = {}
        self._half: dict[str, str] = {}
        self._unclear: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._told

    def told(self, key: str) -> int:
        """How many characters of it were told."""
        return self._told.get(key, (0, 0))[0]

    def add(self, key: str, piece: str) -> str:
        """The next piece as it is to be told: what is appended."""
        half = self._half.pop(key, "")
        if key in self._unclear or (half == _REPLACED and _is_low(piece)):
            self._unclear.add(key)
            return ""
        text = half + piece
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._half[key] = text[-1]
            text = text[:-1]
        if half:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        length, checksum = self._told.get(key, (0, 0))
        self._told[key] = (length + len(text), _crc(text, checksum))
        return text

    def missing(self, key: str, whole: str, *, goes_on: bool = False) -> Missing:
        """What is still to be told of a text, now that all of it is known; it then counts as told.

        Nothing is missing of a text that was told to its end. ``goes_on``: it may be a text that
        still streams, as a snapshot has it.
        """
        length, checksum = self._told.get(key, (0, 0))
        self._half.pop(key, None)
        self._unclear.discard(key)
        if goes_on and whole.endswith(_REPLACED):
            self._half[key], whole = _REPLACED, whole[:-1]
        is_anew = len(whole) < length or (length > 0 and _crc(whole[:length], 0) != checksum)
        text = whole if is_anew else whole[length:]
        self._told[key] = (len(whole), _crc(text, 0 if is_anew else checksum))
        return Missing(text, is_anew)

    def forget(self, key: str) -> None:
        """No text of it will come any more."""
        self._told.pop(key, None)
        self._half.pop(key, None)
        self._unclear.discard(key)


def _is_low(piece: str) -> bool:
    return bool(piece) and "\udc00" <= piece[0] <= "\udfff"


def _crc(text: str, before: int) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"), before)

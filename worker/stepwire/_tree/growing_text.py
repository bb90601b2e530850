"""The text of a step's input or output: it grows by pieces, and clients get it up to a limit."""

from __future__ import annotations


class GrowingText:
    """A text that is set as a whole or grows by pieces; bounded only where clients see it."""

    __slots__ = ("_is_cut", "_length", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._is_cut = False

    def get(self) -> str:
        """All of it; once it has been cut off, up to there, with the mark."""
        pieces = self._pieces
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""

    def set(self, text: str) -> None:
        """Replace it."""
        self._pieces = [text]
        self._length = len(text)
        self._is_cut = False

    def append(self, piece: str, limit: int) -> str:
        """Append a piece; returns what clients get of it: less than all of it, and a mark, where
        the text reaches ``limit`` characters, and nothing after that."""
        if self._is_cut:
            return ""
        before = self._length
        self._length = length = before + len(piece)
        if length > limit:
            self._is_cut = True
            self._pieces = [self.get()[:limit]]
            piece = piece[: max(0, limit - before)] + _cut_off_mark(limit)
        self._pieces.append(piece)
        return piece

    def shown(self, limit: int) -> str:
        """It as clients get it: at most ``limit`` characters, with a mark where it is cut off."""
        if not self._pieces:
            return ""
        text = self.get()
        if self._is_cut or len(text) <= limit:
            return text
        return text[:limit] + _cut_off_mark(limit)


def _cut_off_mark(limit: int) -> str:
    return f"\n… [cut off after {limit} characters]"

"""Text that UTF-8 can carry."""

from __future__ import annotations

from stepwire_core.errors import ValueTooLarge


def require_size(what: str, text: str, limit: int) -> None:
    """Return when ``text`` has at most ``limit`` bytes of UTF-8.

    Raises:
        ValueTooLarge: it has more.
    """
    # Counting is for those that may be too large: a character has four bytes at most.
    if len(text) * 4 > limit and (size := len(text.encode(errors="replace"))) > limit:
        raise ValueTooLarge(what, size, limit)


def is_whole(text: str) -> bool:
    """Whether ``text`` has no half of a surrogate pair in it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole(text: str) -> str:
    """``text`` with the halves of surrogate pairs joined, and a lone half shown as U+FFFD.

    A tokenizer may cut a character in two; Python keeps the halves, and UTF-8 can carry neither.
    """
    if text.isascii() or is_whole(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

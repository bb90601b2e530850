"""Text that UTF-8 can carry."""

from __future__ import annotations


def whole(text: str) -> str:
    """``text`` with the halves of surrogate pairs joined, and a lone half shown as U+FFFD.

    A tokenizer may cut a character in two; Python keeps the halves, and UTF-8 can carry neither.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

"""Media types: their form, and which one some bytes have, by name or by how they begin."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

UNKNOWN: Final = "application/octet-stream"
MAX_CHARS: Final = 255


@cache
def _types_by_name() -> mimetypes.MimeTypes:
    # Not mimetypes.guess_type: that one answers by what it reads in files of the machine. It reads
    # them here, too, though nothing of it is used: so not before a name is asked about.
    types = mimetypes.MimeTypes()
    types.add_type("image/webp", ".webp")
    types.add_type("image/avif", ".avif")
    types.add_type("audio/flac", ".flac")
    types.add_type("audio/ogg", ".ogg")
    types.add_type("audio/mp4", ".m4a")
    types.add_type("text/markdown", ".md")
    return types


_SIGNATURES: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (0, b"<svg", "image/svg+xml"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
"""Offset, bytes, type; the first that fits. (WHATWG MIME Sniffing, sections 6.1 and 6.2.)"""

HEAD_BYTES: Final = 16
"""What :func:`by_head` looks at."""


_RESTRICTED: Final = r"[\w!#$&^.+-]+"
_WORD: Final = r"[\w!#$%&'*+.^`|~-]+"
_QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f-\U0010ffff]|\\[\t\x20-\x7e])*"'
_PARAMETER: Final = rf"({_WORD})=({_WORD}|{_QUOTED})"
_FORM: Final = rf"({_RESTRICTED}/{_RESTRICTED})((?:[ \t]*;(?:[ \t]*{_PARAMETER})?)*)[ \t]*"
"""RFC 9110, 8.3.1; the names of types are those of RFC 6838, 4.2."""


class MediaType(NamedTuple):
    """A media type, taken apart; what does not depend on case is in lower case."""

    type: str
    parameters: Mapping[str, str]
    """The first of each name counts, as for browsers (WHATWG MIME Sniffing, 4.4)."""


def parsed(value: str) -> MediaType | None:
    """``value`` as a media type, or None if it has another form."""
    match = re.fullmatch(_FORM, value, re.ASCII) if len(value) <= MAX_CHARS else None
    if match is None:
        return None
    parameters: dict[str, str] = {}
    for name, content in re.findall(_PARAMETER, match[2], re.ASCII):
        plain = re.sub(r"\\(.)", r"\1", content[1:-1]) if content.startswith('"') else content
        parameters.setdefault(name.lower(), plain)
    return MediaType(match[1].lower(), parameters)


def is_valid(value: str) -> bool:
    """Whether it has the form of a media type, and can stand in a header."""
    return parsed(value) is not None


def by_name(name: str) -> str | None:
    """The type that a file name or URL suggests."""
    type_, encoding = _types_by_name().guess_type(name, strict=False)
    # A packed file is of the packer's type, whatever is in it.
    return type_ if encoding is None else {"gzip": "application/gzip"}.get(encoding)


def by_head(head: bytes) -> str | None:
    """The type of which bytes begin so."""
    for offset, signature, type_ in _SIGNATURES:
        if head[offset:].startswith(signature):
            return type_
    return None


_KIND_OF_FAMILY: Final = {"image": "image", "audio": "audio", "video": "video"}
_KIND_OF_TYPE: Final = {
    "application/pdf": "pdf",
    "application/json": "json",
    "text/plain": "text",
    "image/svg+xml": "file",
}


def kind(mime: str) -> str:
    """The kind of element that shows that media type."""
    type_ = mime.partition(";")[0].strip().lower()
    return _KIND_OF_TYPE.get(type_) or _KIND_OF_FAMILY.get(type_.partition("/")[0], "file")


def accepts(wanted: Sequence[str], mime: str, name: str) -> bool:
    """Whether a file is of a wanted type: a media type, ``image/*``, or ``.py``.

    An empty list accepts every file. (WHATWG HTML, 4.10.5.1.17, the ``accept`` attribute.)
    """
    type_ = mime.partition(";")[0].strip().lower()
    family = f"{type_.partition('/')[0]}/*"
    return not wanted or any(
        name.lower().endswith(item) if item.startswith(".") else item in (type_, family, "*/*")
        for item in map(str.lower, wanted)
    )

"""The types with which elements are served: their bytes and types come from untrusted authors.

A type that two parsers understand differently (``text/plain;,text/html`` is plain text to one and
a page to another) must not decide what a browser does. So no type is passed on: the type that is
sent comes from these tables.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from stepwire_core.values import media_types

INLINE: Final = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"),
        *("audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm", "audio/flac"),
        *("audio/aac",),
        *("video/mp4", "video/webm", "video/ogg"),
        *("text/plain", "application/json", "application/pdf"),
    }
)
"""Types that a browser shows, and that cannot contain code."""

DOWNLOADS: Final = frozenset(
    {
        # An SVG that is opened by itself is a page with scripts; as an image it runs none.
        *("image/svg+xml", "image/tiff", "image/heic", "image/heif", "image/x-icon"),
        *("video/quicktime", "video/x-matroska", "text/csv", "text/markdown"),
        *("application/zip", "application/gzip", "application/x-tar"),
        *("application/x-7z-compressed", "application/rtf", "application/epub+zip"),
        *("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.apache.parquet",
    }
)
"""Types that are named in a download. All others, scripts and styles above all, become unknown:
with ``nosniff`` no page can then run them (WHATWG Fetch, 3.5)."""

_OTHER_NAMES: Final = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "image/vnd.microsoft.icon": "image/x-icon",
    "text/x-markdown": "text/markdown",
    "application/x-zip-compressed": "application/zip",
    "application/x-gzip": "application/gzip",
}

_CHARSETS: Final = {
    name: name
    for name in (
        *("utf-8", "us-ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "koi8-r", "koi8-u"),
        *(f"windows-{number}" for number in range(1250, 1259)),
        *("shift_jis", "euc-jp", "euc-kr", "gbk", "gb18030", "big5"),
    )
} | {"utf8": "utf-8", "latin-1": "iso-8859-1", "latin1": "iso-8859-1", "ascii": "us-ascii"}


class Served(NamedTuple):
    """The headers of an element that depend on its type and its name."""

    content_type: str
    disposition: str


def served(mime: str, name: str) -> Served:
    """How to serve an element of this type and name, which its author has chosen."""
    content_type = _known(mime)
    if content_type is None:
        return Served(media_types.UNKNOWN, _disposition("attachment", name))
    is_shown = content_type.partition(";")[0] in INLINE
    return Served(content_type, _disposition("inline" if is_shown else "attachment", name))


def _known(mime: str) -> str | None:
    """The type as we write it, or None for one that is not in the tables."""
    parsed = media_types.parsed(mime)
    if parsed is None:
        return None
    type_ = _OTHER_NAMES.get(parsed.type, parsed.type)
    if type_ not in INLINE | DOWNLOADS:
        return None
    if not type_.startswith("text/"):
        return type_
    # Without a charset the reader's machine would choose an encoding.
    charset = _CHARSETS.get(parsed.parameters.get("charset", "utf-8").lower())
    return None if charset is None else f"{type_}; charset={charset}"


# Control characters, separators of lines and paths, and characters that turn the direction of
# writing, which show `txt.exe` as `exe.txt`.
_MISLEADING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
# All but the characters that may stand in a quoted string; some clients decode a `%` there
# (RFC 6266, appendix D).
_NOT_PLAIN: Final = re.compile(r"[^ !#$&'()+,.0-9;=@A-Z\[\]^_`a-z{}~-]")


def _disposition(how: str, name: str) -> str:
    """A ``Content-Disposition`` (RFC 6266): a name for old clients, then the one that counts
    (RFC 8187)."""
    name = _MISLEADING.sub("_", name)
    plain, encoded = _NOT_PLAIN.sub("_", name), quote(name, safe="")
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"

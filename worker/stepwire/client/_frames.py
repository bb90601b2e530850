"""Event streams, as bytes come: WHATWG HTML, 9.2.6."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Frame:
    """One frame. A field that did not come is None, and so is an id that must be ignored."""

    id: str | None = None
    type: str | None = None
    data: str | None = None
    retry_ms: float | None = None
    comment: str | None = None
    """The comment, for people: a gateway says there why a stream is empty."""


class FrameReader:
    """Makes frames of a stream, however the network has cut it.

    Other than in the standard, a frame without data counts, too: a gateway sends its cursor with
    one. Lines are cut as bytes: text has more characters that some call ends of lines.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """The unfinished line; joined once, so a long line costs what it weighs."""
        self._frame: Frame | None = None
        self._ended_with_cr = False
        self._is_first = True

    def read(self, data: bytes) -> list[Frame]:
        """The frames that this piece completes."""
        if not data:
            return []
        if self._ended_with_cr and data.startswith(b"\n"):
            # The second half of a CR LF that was cut in two.
            data = data[1:]
        self._ended_with_cr = data.endswith(b"\r") if data else False
        first, *more = _LINE_END.split(data)
        self._pieces.append(first)
        if not more:
            return []
        lines = [b"".join(self._pieces), *more]
        self._pieces = [lines.pop()]
        if self._is_first:
            self._is_first = False
            lines[0] = lines[0].removeprefix(_BOM)
        return [frame for line in lines if (frame := self._take(line)) is not None]

    def _take(self, line: bytes) -> Frame | None:
        """The frame, if this line is its end."""
        if not line:
            frame, self._frame = self._frame, None
            return frame
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if self._frame is None:
            self._frame = Frame()
        frame = self._frame
        match name:
            case "":
                frame.comment = _joined(frame.comment, value)
            case "data":
                frame.data = _joined(frame.data, value)
            case "event":
                frame.type = value
            case "id" if "\0" not in value:
                frame.id = value
            case "retry" if value.isascii() and value.isdigit():
                # Python makes no integer of thousands of digits.
                frame.retry_ms = float(value)
            case _:
                pass
        return None


def _joined(before: str | None, line: str) -> str:
    return line if before is None else f"{before}\n{line}"

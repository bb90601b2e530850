"""What others wrote, and times, as they may stand in a terminal."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stepwire_core.wire.documents import Progress, Usage, UsageSum

# ECMA-48: CSI sequences; OSC, DCS, SOS, PM and APC strings with their end; other escapes.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_BREAKS: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Controls, and the marks that turn the direction of what follows around.
_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` without anything that a terminal would obey; its lines stay."""
    if _SURROGATES.search(text):
        # A character that came in two halves becomes one; a half that is alone, a replacement mark.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if text.isprintable():
        return text
    text = _BREAKS.sub("\n", _ESCAPES.sub("", text))
    return _INVISIBLE.sub("", text).expandtabs(4)


def one_line(text: str) -> str:
    """The same, in one line."""
    return " ".join(printable(text).split())


def documents_as_json(documents: Sequence[BaseModel]) -> str:
    """A JSON array, one document a line."""
    lines = ",\n ".join(
        json.dumps(document.model_dump(mode="json"), ensure_ascii=False) for document in documents
    )
    return f"[{lines}]"


def duration(started_at: str, ended_at: str | None, now_s: float) -> str:
    """``340 ms``, ``1.24 s``, ``12.3 s``, ``2 m 05 s``, ``1 h 02 m``; until now while it runs."""
    start = seconds_of(started_at)
    end = now_s if ended_at is None else seconds_of(ended_at)
    if start is None or end is None:
        return ""
    seconds = max(0.0, end - start)
    if seconds < 1 and ended_at is not None:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        # A running clock that shows hundredths only flickers.
        return f"{seconds:.1f} s" if ended_at is None else f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute:02} m" if hours else f"{minute} m {second:02} s"


def size(size_bytes: int) -> str:
    """``512 B``, ``47.1 kB``, ``2.1 MB``."""
    amount, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def used(usage: Usage | UsageSum | None) -> str:
    """``1,204 in, 380 out, cost 0.0123``; empty if there is nothing of these."""
    if usage is None:
        return ""
    parts = []
    if usage.input_tokens:
        parts.append(f"{usage.input_tokens:,} in")
    if usage.output_tokens:
        parts.append(f"{usage.output_tokens:,} out")
    if usage.cost:
        parts.append(f"cost {usage.cost:.3g}")
    return ", ".join(parts)


BAR_CELLS: Final = 16


def bar(progress: Progress) -> str:
    """``██████░░░░░░░░░░ 37%  3 of 8  text``; without a total, it has no bar."""
    done, total = progress.done, progress.total
    words = [_number(done) if total is None else f"{_number(done)} of {_number(total)}"]
    # A newer version or a fault may have written any number.
    if total is not None and 0 < total < math.inf and 0 <= done < math.inf:
        part = min(done / total, 1.0)
        full = int(part * BAR_CELLS)
        words.insert(0, f"{'█' * full}{'░' * (BAR_CELLS - full)} {int(part * 100)}%")
    if progress.text:
        words.append(one_line(progress.text))
    return "  ".join(words)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


class ServerClock:
    """The server's time, as far as the ``ts`` of its events tells it.

    An event cannot come before it was made, so each one bounds how far our clock is ahead. Old
    events, told again, bound loosely: until a snapshot they only prove that our clock is behind.
    """

    def __init__(self) -> None:
        self._ahead_s = float("inf")
        self._live = False

    def caught_up(self) -> None:
        """Later text is timed from this moment on."""
        self._live = True

    def observe(self, ts: str) -> None:
        if (made_at := seconds_of(ts)) is not None:
            self._ahead_s = min(self._ahead_s, time.time() - made_at)

    def now_s(self) -> float:
        known = self._live and self._ahead_s != float("inf")
        return time.time() - (self._ahead_s if known else min(self._ahead_s, 0))


def seconds_of(at: str) -> float | None:
    """The Unix time of a time in RFC 3339; None if the text is not one."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None

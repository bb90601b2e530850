"""The traceback of an exception, as clients and operators may see it.

It has what Python prints, without values: no local variables and no arguments are read. Source
lines are in it, so a secret that is written in the code is, too.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException, walk_tb
from typing import TYPE_CHECKING, Final

import stepwire_core

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from stepwire_core.settings import Settings
    from stepwire_core.wire.documents import ErrorInfo

logger = logging.getLogger("stepwire.run")

MAX_CHARS: Final = 8_000
FIRST_FRAMES: Final = 10
LAST_FRAMES: Final = 20
"""Frames of the user's code that are shown: the outermost, and the innermost."""

INNERMOST: Final = 2
"""Frames that are shown also if they are a library's, but not ours: where it was raised."""

MAX_EXCEPTIONS: Final = 10
"""Causes, contexts and parts of groups that are followed."""

_PACKAGES: Final = (f"{Path(__file__).parents[1]}/", f"{Path(stepwire_core.__file__).parent}/")
_OF_LIBRARIES: Final = (
    *{f"{path}/" for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))},
    *_PACKAGES,
    "<frozen ",
)


def described(error: BaseException, settings: Settings) -> ErrorInfo:
    """What clients get to know of an exception."""
    from stepwire_core.wire.documents import ErrorInfo

    info = ErrorInfo.of(error)
    if settings.tracebacks == "clients":
        info.traceback = traceback_of(error)
    return info


def traceback_of(error: BaseException) -> str | None:
    """The frames of the user's code, then the exception, with its causes; None if Python cannot
    say."""
    try:
        whole = TracebackException(type(error), error, None, limit=0, compact=True)
        _fill(whole, error)
        text = "".join(whole.format()).rstrip("\n")
    except Exception:  # an exception of the user's may be anything
        logger.warning("an exception has no readable traceback", exc_info=True)
        return None
    if len(text) > MAX_CHARS:
        begin = MAX_CHARS // 4
        text = f"{text[:begin]}\n… [cut]\n{text[begin - MAX_CHARS :]}"
    return text


def _fill(whole: TracebackException, error: BaseException) -> None:
    """Put the frames that are worth showing into it and into what it names as its causes."""
    waiting: deque[tuple[TracebackException, BaseException]] = deque([(whole, error)])
    left = MAX_EXCEPTIONS
    while waiting:
        told, exception = waiting.popleft()
        left -= 1
        told.stack = StackSummary.from_list(list(_frames(exception.__traceback__)))
        if left <= 0:
            told.__cause__ = told.__context__ = None
            continue
        if told.__cause__ is not None and exception.__cause__ is not None:
            waiting.append((told.__cause__, exception.__cause__))
        if told.__context__ is not None and exception.__context__ is not None:
            waiting.append((told.__context__, exception.__context__))
        if isinstance(exception, BaseExceptionGroup):
            waiting.extend(zip(told.exceptions or (), exception.exceptions, strict=False))


def _frames(traceback: TracebackType | None) -> Iterator[FrameSummary]:
    walked = list(walk_tb(traceback))
    own = [at for at, (frame, _) in enumerate(walked) if _is_users(frame)]
    last = max(FIRST_FRAMES, len(own) - LAST_FRAMES)
    shown = {*own[:FIRST_FRAMES], *own[last:]}
    innermost = range(max(0, len(walked) - INNERMOST), len(walked))
    shown.update(at for at in innermost if not _is_ours(walked[at][0]))
    for frame in StackSummary.extract(walked[at] for at in sorted(shown)):
        name = _short(frame.filename)
        yield FrameSummary(name, frame.lineno, frame.name, lookup_line=False, line=frame.line)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGES)


def _is_users(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return not (
        name.startswith(_OF_LIBRARIES) or "site-packages" in name or "/dist-packages" in name
    )


@lru_cache(maxsize=1_000)
def _short(filename: str) -> str:
    """A path as it is imported, which does not reveal where the code lies on a machine."""
    roots = (f"{Path(entry).resolve()}/" for entry in chain(sys.path, (".",)))
    found = max((root for root in roots if filename.startswith(root)), key=len, default="")
    return filename[len(found) :] or filename

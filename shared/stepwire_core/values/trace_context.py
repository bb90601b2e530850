"""The context of a trace, as it travels in HTTP headers and in jobs (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

TRACE_BYTES: Final = 16
SPAN_BYTES: Final = 8

_HEADER: Final = re.compile(
    r"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)
_OF_A_SPAN: Final = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})", re.ASCII)
_INVALID_VERSION: Final = "ff"
_SAMPLED: Final = 1
_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span, as the spans below it know it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True
    """Whether its maker records it."""

    @classmethod
    def parse(cls, header: str | None) -> TraceContext | None:
        """The context in a ``traceparent`` header; None if it is absent or invalid.

        Of a later version the fields of this one are read (Trace Context, section 4.3).
        """
        if header is None or len(header) > _MAX_CHARS:
            return None
        match = _HEADER.fullmatch(header.strip())
        if match is None or match[1] == _INVALID_VERSION or (match[1] == "00" and match[5]):
            return None
        return cls(match[2], match[3], bool(int(match[4], 16) & _SAMPLED))

    def header(self) -> str:
        """As ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def new_trace_id() -> str:
    return secrets.token_hex(TRACE_BYTES)


def new_span_id() -> str:
    return secrets.token_hex(SPAN_BYTES)


def trace_id_of(*names: object) -> str:
    """The same trace for the same names, in every process."""
    return _digest(names, TRACE_BYTES)


def span_id_of(*names: object) -> str:
    """The same span for the same names, in every process."""
    return _digest(names, SPAN_BYTES)


def foreign_span(step_id: str) -> tuple[str, str] | None:
    """The trace and the span that a step shows which is a span of OpenTelemetry already."""
    match = _OF_A_SPAN.fullmatch(step_id)
    return None if match is None else (match[1], match[2])


def _digest(names: tuple[object, ...], size: int) -> str:
    return blake2b("\0".join(map(str, names)).encode(), digest_size=size).hexdigest()

"""Logs of our own processes: a line an entry, for people, or as one JSON object for a collector.

Values come from requests and handlers, too. Nothing in them begins an entry of its own, or is
obeyed by a terminal: what cannot be shown is escaped, and the further lines of an entry for people,
such as those of a traceback, are indented.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from stepwire_core.errors import StepwireError
from stepwire_core.settings import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepwire_core.settings import Settings
    from stepwire_core.values.trace_context import TraceContext

    Trace = Callable[[], TraceContext | None]

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}

_OWN: Final = frozenset({"time", "level", "logger", "message", "exception", "trace_id", "span_id"})

_IN_ADDRESSES: Final = re.compile(r"([?&](?:token|access_token|api_key)=)[^&\s\"'\\]+")
_BEARER: Final = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)

_MORE: Final = "\n    "

_MIN_SECRET_CHARS: Final = 6
"""A shorter password would make holes in ordinary words."""


class _Secrets:
    """Takes what must not be read out of a line, whoever has written it there."""

    def __init__(self, settings: Settings | None) -> None:
        known = set() if settings is None else _secrets_of(settings)
        # The longest first: one may be the beginning of another.
        words = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, words))) if words else None

    def without(self, line: str) -> str:
        if self._known is not None:
            line = self._known.sub("***", line)
        if "=" in line or "earer " in line:
            line = _BEARER.sub(r"\1***", _IN_ADDRESSES.sub(r"\1***", line))
        return line


def _secrets_of(settings: Settings) -> set[str]:
    secrets = {*listed(settings.auth_secrets), *listed(settings.api_keys)}
    for url in (settings.redis_url, settings.effective_queue_url):
        parts = urlsplit(url)
        if parts.password is not None:
            secrets |= {parts.password, unquote(parts.password)}
        for option in parts.query.split("&"):
            name, _, value = option.partition("=")
            if name.endswith("password"):
                secrets |= {value, unquote(value)}
    return {secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS}


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, secrets: _Secrets) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(
            f" {name}={_escaped(str(value))}" for name, value in _fields(record).items()
        )
        return super().formatMessage(record) + fields

    def format(self, record: logging.LogRecord) -> str:
        lines = self._secrets.without(super().format(record)).split("\n")
        return _MORE.join(_escaped(line) for line in lines)


def _escaped(text: str) -> str:
    """The text in one line; as Python writes it in a literal where it cannot be shown."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1]
        for character in text
    )


class _JsonFormatter(logging.Formatter):
    """One line: a line break in it would make two entries of one for a collector."""

    def __init__(self, secrets: _Secrets, trace: Trace) -> None:
        super().__init__()
        self._secrets = secrets
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
        at, ms = time.gmtime(record.created), int(record.msecs)
        entry: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}.{ms:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            entry[f"field_{name}" if name in _OWN - {"trace_id"} else name] = value
        if (span := self._trace()) is not None:
            entry.setdefault("trace_id", span.trace_id)
            entry["span_id"] = span.span_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # What has no JSON is its text: a line that cannot be written would be lost.
        line = self._secrets.without(json.dumps(entry, default=str, ensure_ascii=False))
        if line.isprintable():
            return line
        # All that is not printable stands inside of strings.
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _no_trace() -> TraceContext | None:
    return None


def configure_logs(
    *, verbose: bool, settings: Settings | None = None, trace: Trace = _no_trace
) -> None:
    """Write logs to standard error; libraries speak from WARNING on.

    In the form of the settings, by default for people. ``trace`` tells the span around the code
    that logs.
    """
    secrets, handler = _Secrets(settings), logging.StreamHandler()
    is_json = settings is not None and settings.log_format == "json"
    handler.setFormatter(_JsonFormatter(secrets, trace) if is_json else _TextFormatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    if is_json:
        logging.captureWarnings(capture=True)
        threading.excepthook = _thread_died
    for name in ("stepwire", "uvicorn"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def _thread_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None and not isinstance(died.exc_value, SystemExit):
        logging.getLogger("stepwire").error(
            "a thread has ended by an error", exc_info=died.exc_value
        )


@contextmanager
def ends_in_the_log(settings: Settings) -> Iterator[None]:
    """Let the reason why a process ends be a line like all others, for the collector that reads
    JSON; for people it goes on to the command line, as ever."""
    if settings.log_format != "json":
        yield
        return
    logger = logging.getLogger("stepwire")
    try:
        yield
    except StepwireError as error:
        logger.critical("this process ends: %s", error)
        sys.exit(1)
    except Exception:
        logger.critical("this process ends by an error", exc_info=True)
        sys.exit(1)

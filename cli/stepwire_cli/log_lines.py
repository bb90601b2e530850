"""Logs of our own processes: one line an entry, fields as ``name=value``.

Values come from requests and handlers, too. Nothing in them begins an entry of its own, or is
obeyed by a terminal: what cannot be shown is escaped, and the further lines of an entry, such as
those of a traceback, are indented.
"""

from __future__ import annotations

import logging
import time
from typing import Final

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


_MORE: Final = "\n    "


class LineFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return _MORE.join(_escaped(line) for line in lines)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(
            f" {name}={_escaped(str(value))}"
            for name, value in vars(record).items()
            if name not in _STANDARD
        )
        return super().formatMessage(record) + fields


def _escaped(text: str) -> str:
    """The text in one line; as Python writes it in a literal where it cannot be shown."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1]
        for character in text
    )


def configure_logs(*, verbose: bool) -> None:
    """Write logs to standard error; libraries speak from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("stepwire", "uvicorn"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)

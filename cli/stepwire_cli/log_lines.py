"""Logs of our own processes: one line an entry, fields as ``name=value``."""

from __future__ import annotations

import logging
import time

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(
            f" {name}={value}" for name, value in vars(record).items() if name not in _STANDARD
        )
        return super().formatMessage(record) + fields


def configure_logs(*, verbose: bool) -> None:
    """Write logs to standard error; libraries speak from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("stepwire", "uvicorn"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)

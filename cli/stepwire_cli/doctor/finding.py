"""What a look at a deployment has found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel

Level = Literal["ok", "unknown", "warning", "error"]
"""``unknown``: it could not be looked at. ``warning``: it works, and may not for long, or not for
all. ``error``: it does not work, or loses something."""

_WEIGHT: Final = {"ok": 0, "unknown": 1, "warning": 2, "error": 3}


class Finding(BaseModel):
    """One thing that was looked at."""

    level: Level
    subject: str
    """What was looked at: ``redis``, ``gateway``, ``workers``."""
    check: str
    """Which of its sides; the pair stays the same over versions."""
    found: str
    todo: str | None = None
    """What to change."""


def ok(subject: str, check: str, found: str) -> Finding:
    return Finding(level="ok", subject=subject, check=check, found=found)


def unknown(subject: str, check: str, found: str) -> Finding:
    return Finding(level="unknown", subject=subject, check=check, found=found)


def warning(subject: str, check: str, found: str, todo: str) -> Finding:
    return Finding(level="warning", subject=subject, check=check, found=found, todo=todo)


def error(subject: str, check: str, found: str, todo: str) -> Finding:
    return Finding(level="error", subject=subject, check=check, found=found, todo=todo)


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """1 if something is wrong; with ``strict``, also if something may come to be."""
    worst = max((_WEIGHT[finding.level] for finding in findings), default=0)
    return 1 if worst >= (_WEIGHT["warning"] if strict else _WEIGHT["error"]) else 0

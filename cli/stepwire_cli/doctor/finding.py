"""The findings of ``stepwire doctor``, one for each check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel

Level = Literal["ok", "unknown", "warning", "error"]
"""``unknown``: it could not be checked. ``warning``: it works, but may not for long, or not for
all. ``error``: it does not work, or loses data."""

_WEIGHT: Final = {"ok": 0, "unknown": 1, "warning": 2, "error": 3}


class Finding(BaseModel):
    """The result of one check."""

    level: Level
    subject: str
    """The part that was checked: ``redis``, ``gateway``, ``workers``."""
    check: str
    """The name of the check; subject and check stay the same over versions."""
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

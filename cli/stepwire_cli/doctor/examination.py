"""All that is looked at, in order, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from stepwire_cli.doctor.machine_checks import look_at_machine
from stepwire_cli.doctor.redis_checks import look_at_redis
from stepwire_cli.doctor.worker_checks import look_at_workers
from stepwire_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_cli.doctor.finding import Finding
    from stepwire_core.settings import Settings

_MARKS: Final = {"ok": ("ok", "green"), "unknown": ("?", "cyan")} | {
    "warning": ("warning", "yellow"),
    "error": ("error", "red"),
}


async def examine(settings: Settings) -> list[Finding]:
    """The machine, its settings, Redis, and the workers; no gateway."""
    return [
        *look_at_machine(settings),
        *await look_at_redis(settings),
        *await look_at_workers(settings),
    ]


def show(findings: Sequence[Finding]) -> None:
    """A line each, and what to do below it."""
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        click.echo(
            click.style(f"{mark:8}", fg=colour)
            + printable(f"{finding.subject}, {finding.check}: {finding.found}")
        )
        if finding.todo:
            click.echo(f"{'':8}-> {printable(finding.todo)}")
    counts = {level: sum(f.level == level for f in findings) for level in ("error", "warning")}
    click.echo(f"{len(findings)} checks: {counts['error']} errors, {counts['warning']} warnings")

"""A nightly job whose steps people can watch, or read in the morning.

    0 3 * * * STEPWIRE_REDIS_URL=redis://… python examples/cookbook/cron_report.py /var/backups

The session has the date in its name, so every night is one of its own. If a step fails, it shows
the error, and the script ends with exit code 1, which makes cron send its mail.
"""

import datetime as dt
import sys
from pathlib import Path

import stepwire as cl


@cl.step(type="tool")
def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@cl.step(type="tool")
def check(folder: Path, name: str) -> int:
    size = (folder / name).stat().st_size
    if not size:
        raise ValueError(f"{name} is empty")
    return size


def main(folder: Path, day: dt.date) -> None:
    with cl.session(f"backups:{day}"), cl.Step(name=f"backups of {day}", type="run") as step:
        sizes = [check(folder, name) for name in files(folder)]
        step.output = {"files": len(sizes), "bytes": sum(sizes)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), dt.datetime.now(dt.UTC).date())

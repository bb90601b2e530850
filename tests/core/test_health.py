"""The file by which a supervisor sees that a process lives."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwire_core.errors import ProcessUnfit, SettingsError, StepwireError
from stepwire_core.process import health_file
from stepwire_core.process.health_file import STALE_S, HealthFile, check_health
from stepwire_core.process.supervision import stop_process
from stepwire_core.settings import Settings

pytestmark = pytest.mark.anyio

SHELL = 'test -n "$(find "$0" -mmin -1)"'
"""As docs/operations.md has it."""


def shell_passes(path: Path) -> bool:
    command = ["/bin/sh", "-c", SHELL, str(path)]
    return subprocess.run(command, check=False, timeout=60).returncode == 0


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - a file has no events
        await asyncio.sleep(0)


def is_fresh(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < STALE_S


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


async def test_the_file_is_touched_again_and_again_while_the_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_file, "BEAT_S", 0.01)
    path = tmp_path / "health"
    async with asyncio.timeout(10), HealthFile(str(path)).beating(stop_process):
        for _ in range(3):
            await until(lambda: path.exists() and is_fresh(path))
            assert shell_passes(path)
            check_health(Settings(health_file=str(path)))
            age(path, STALE_S + 10)
        # Something cleans up in /tmp.
        path.unlink()
        await until(path.exists)
    assert not path.exists()


async def test_the_file_is_removed_also_when_the_process_ends_by_an_error(tmp_path: Path) -> None:
    path = tmp_path / "health"

    async def fails() -> None:
        async with asyncio.timeout(10), HealthFile(str(path)).beating(stop_process):
            await until(path.exists)
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    assert not path.exists()


def test_a_file_that_is_no_longer_touched_fails_both_checks(tmp_path: Path) -> None:
    path = tmp_path / "health"
    path.touch()
    age(path, STALE_S + 10)
    assert not shell_passes(path)
    with pytest.raises(ProcessUnfit, match=r"last touched \d+ s ago"):
        check_health(Settings(health_file=str(path)))


def test_without_a_file_both_checks_fail(tmp_path: Path) -> None:
    path = tmp_path / "health"
    assert not shell_passes(path)
    with pytest.raises(ProcessUnfit, match="No such file"):
        check_health(Settings(health_file=str(path)))


def test_a_check_without_the_setting_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="set STEPWIRE_HEALTH_FILE"):
        check_health(Settings())


def test_the_file_of_an_earlier_process_is_removed_before_work_begins(tmp_path: Path) -> None:
    path = tmp_path / "health"
    path.touch()
    HealthFile(str(path))
    assert not path.exists()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "no folder"])
def test_a_path_at_which_no_file_can_be_is_one_line_at_the_start(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "health"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "victim")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = tmp_path / "missing" / "health"
    with pytest.raises(SettingsError, match="cannot be written") as raised:
        HealthFile(str(path))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "victim").exists()


async def test_a_file_that_can_no_longer_be_touched_costs_the_process_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health_file, "BEAT_S", 0.0)
    path = tmp_path / "health"
    file, failures = HealthFile(str(path)), list[StepwireError]()
    path.mkdir()
    async with file.beating(failures.append):
        for _ in range(20):
            await asyncio.sleep(0)
    assert failures == []
    assert caplog.text.count("the health file cannot be touched") == 1

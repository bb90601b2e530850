"""Waiting for processes that were started: what is wrong is said, with what they have written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stepwire_cli.dev import child_processes
from stepwire_cli.dev.child_processes import Child, NotStarted, wait_until


def never() -> bool:
    return False


def test_a_process_that_has_ended_is_named_with_its_log(tmp_path: Path) -> None:
    child = Child(["worker", str(tmp_path / "nowhere.py")], log=tmp_path / "log")
    child.start()
    with pytest.raises(NotStarted, match=r"'stepwire worker' has ended .* 1:(.|\n)*nowhere\.py"):
        wait_until(never, "the worker", [child])


def test_what_does_not_come_in_time_is_named_with_what_was_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_processes, "START_TIMEOUT_S", 0.0)
    log = tmp_path / "log"
    log.write_text("still busy")
    with pytest.raises(NotStarted, match=r"the gateway is not there after 0 s:\nstill busy"):
        wait_until(never, "the gateway", [Child(["gateway"], log=log)])
    with pytest.raises(NotStarted, match=r"0 s$"):
        wait_until(never, "the gateway", [Child(["gateway"])])


def test_waiting_ends_when_it_is_told_to_stop() -> None:
    stopping = threading.Event()
    stopping.set()
    assert wait_until(never, "the gateway", stopping=stopping) is False
    assert wait_until(lambda: True, "the gateway", stopping=stopping) is True


def test_nobody_at_an_address_is_not_ready() -> None:
    assert child_processes.gateway_is_ready("http://127.0.0.1:1") is False

"""``on_app_startup`` and ``on_app_shutdown``: around all runs of a process."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import stepwire as cl
from stepwire._handlers.registry import Handlers, collecting
from stepwire._runs import app_hooks
from stepwire._runs.app_hooks import application
from stepwire.testing import App
from stepwire_core.errors import HandlerModuleError, InvalidArgument, NoActiveSession
from stepwire_core.settings import Settings

pytestmark = pytest.mark.anyio

SETTINGS = Settings(startup_timeout_s=0.01)


def hooks(startup: Callable[[], Any], shutdown: Callable[[], Any] | None = None) -> Handlers:
    with collecting() as handlers:
        cl.on_app_startup(startup)
        if shutdown is not None:
            cl.on_app_shutdown(shutdown)
    return handlers


async def test_it_runs_around_the_block_and_a_synchronous_one_in_a_thread() -> None:
    seen: list[object] = []

    def begin() -> None:
        seen.append(threading.current_thread() is threading.main_thread())

    async def end() -> None:
        seen.append(asyncio.get_running_loop())

    async with application(hooks(begin, end), Settings()):
        seen.append("runs")
    assert seen == [False, "runs", asyncio.get_running_loop()]


async def test_one_that_raises_says_where_and_the_block_is_not_entered() -> None:
    async def begin() -> None:
        raise ConnectionError("no database")

    with pytest.raises(HandlerModuleError) as raised:
        async with application(hooks(begin, lambda: pytest.fail("it never began")), Settings()):
            pytest.fail("it was entered")
    said = str(raised.value)
    assert said.startswith("@cl.on_app_startup failed:\n\nTraceback")
    assert 'raise ConnectionError("no database")' in said
    assert said.count("File ") == 1


async def test_one_that_takes_too_long_is_cut_short() -> None:
    limit = r"longer than 0.01 s \(STEPWIRE_STARTUP_TIMEOUT_S\)"
    with pytest.raises(HandlerModuleError, match=limit):
        async with application(hooks(asyncio.Event().wait), SETTINGS):
            pytest.fail("it was entered")


async def test_a_shutdown_that_fails_or_never_ends_is_named_in_the_log_and_keeps_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise OSError("the pool is broken")

    monkeypatch.setattr(app_hooks, "SHUTDOWN_S", 0.01)
    with caplog.at_level(logging.ERROR):
        for end in (fails, asyncio.Event().wait):
            async with application(hooks(lambda: None, end), Settings()):
                pass
    failed, late = [vars(record)["error"] for record in caplog.records]
    assert "the pool is broken" in failed
    assert "longer than" in late


async def test_a_process_that_is_told_to_stop_meanwhile_does_not_wait_for_it() -> None:
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def enter() -> None:
        async with application(hooks(begin), Settings()):
            pytest.fail("it was entered")

    starting = asyncio.create_task(enter())
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_there_is_no_session() -> None:
    async def begin() -> None:
        with pytest.raises(NoActiveSession):
            await cl.Message("hello").send()

    async with application(hooks(begin), Settings()):
        pass


def test_a_second_one_and_a_task_of_its_name_are_refused() -> None:
    with collecting():
        cl.on_app_startup(lambda: None)
        with pytest.raises(InvalidArgument, match=r"@cl\.on_app_startup is used"):
            cl.on_app_startup(lambda: None)
        with pytest.raises(InvalidArgument, match="a task cannot be called 'on_app_shutdown'"):
            cl.task(name="on_app_shutdown")


APP = """
import stepwire as cl

@cl.on_app_startup
async def begin():
    print("{name} begins")

@cl.on_app_shutdown
async def end():
    print("{name} ends")

@cl.on_message
async def main(message):
    print(message.content)
"""


async def test_of_a_test_it_runs_before_the_first_run_and_before_other_handlers(
    stepwire_app: App, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(APP.format(name=name))
        stepwire_app.load(str(tmp_path / f"{name}.py"))
        await stepwire_app.message("a")
        await stepwire_app.message("b")
    await stepwire_app.shutdown()
    said = capsys.readouterr().out.split("\n")
    assert said == ["one begins", "a", "b", "one ends", "two begins", "a", "b", "two ends", ""]


@pytest.mark.parametrize("fixture_ends_first", [True, False])
def test_of_a_test_it_ends_with_its_loop_or_with_its_fixture(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], fixture_ends_first: bool
) -> None:
    (tmp_path / "one.py").write_text(APP.format(name="one"))
    app = App()
    app.load(str(tmp_path / "one.py"))
    with asyncio.Runner() as runner:
        runner.run(app.message("a"))
        if fixture_ends_first:
            app.close()
            assert capsys.readouterr().out == "one begins\na\none ends\n"
    if not fixture_ends_first:
        app.close()
        assert capsys.readouterr().out == "one begins\na\none ends\n"

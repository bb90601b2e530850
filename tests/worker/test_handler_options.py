"""The options of the handlers that are not for messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from stepwire._handlers.registry import collecting
from stepwire_core.errors import InvalidArgument

if TYPE_CHECKING:
    from pathlib import Path

    from stepwire.testing import App

pytestmark = pytest.mark.anyio

APP = """
import stepwire as cl

tries = []

def fails_first(name):
    tries.append(name)
    if tries.count(name) == 1:
        raise ValueError(name)

@cl.on_chat_resume(max_attempts=2, retry_on=ValueError)
async def back():
    fails_first("resume")

@cl.on_feedback(max_attempts=2, retry_on=ValueError)
async def rated():
    fails_first("feedback")

@cl.on_chat_end(max_attempts=2, retry_on=ValueError)
async def end():
    fails_first("end")
    print(tries)

@cl.on_message
async def main(message):
    await cl.Message("x").send()
"""


async def test_they_are_tried_again_as_their_options_say(
    stepwire_app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    stepwire_app.load(str(tmp_path / "app.py"))
    await stepwire_app.message("hello")
    resumed = await stepwire_app.resume()
    rated = await stepwire_app.feedback(stepwire_app.tree["Assistant"], 1)
    assert [(run.status, run.attempt) for run in (resumed, rated)] == [("ok", 2), ("ok", 2)]
    await stepwire_app.end()
    names = ["resume", "resume", "feedback", "feedback", "end", "end"]
    assert capsys.readouterr().out == f"{names}\n"


@pytest.mark.parametrize(
    "decorator", [cl.on_chat_resume, cl.on_chat_end, cl.on_feedback, cl.on_stop]
)
def test_they_are_used_bare_or_with_options(decorator: Any) -> None:
    async def function() -> None:
        await asyncio.sleep(0)

    with collecting() as handlers:
        assert decorator(timeout_s=5)(function) is function
        assert handlers.policy(decorator.__name__).timeout_s == 5
    with collecting() as handlers:
        assert decorator(function) is function
        assert list(handlers.functions) == [decorator.__name__]
        with pytest.raises(InvalidArgument, match="timeout_s is a number of seconds"):
            decorator(timeout_s=0)


def test_on_stop_is_a_part_of_its_run_and_says_so() -> None:
    with pytest.raises(InvalidArgument, match=r"max_attempts: on_stop .* takes only timeout_s"):
        cl.on_stop(max_attempts=2)

"""Buttons of messages, and what a click runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stepwire as cl
from stepwire._handlers.registry import collecting
from stepwire_core.errors import ActionNotFound, InvalidArgument, NoActiveSession

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from stepwire.testing import App

pytestmark = pytest.mark.anyio


async def shown(bench: Bench) -> list[tuple[str, str, str]]:
    """The name, label and step of each button."""
    actions = (await bench.snapshot()).actions
    return [(action.name, action.label, action.step_id) for action in actions]


async def ends_well(bench: Bench, task: object) -> None:
    run = await bench.run(task)  # type: ignore[arg-type]
    assert run.status == "ok", run.error


async def test_the_buttons_of_a_message_come_with_it_and_outlive_the_run(bench: Bench) -> None:
    async def task() -> None:
        actions = [cl.Action("yes", {"value": 1}, "Yes!", "go on", "check"), cl.Action("no")]
        message = cl.Message("Sure?", actions=actions, id="m")
        await message.stream_token("!")
        assert all(action.for_id is None for action in message.actions)
        await message.send()
        await message.send()
        assert [action.forId for action in message.actions] == ["m", "m"]

    await ends_well(bench, task)
    assert await shown(bench) == [("yes", "Yes!", "m"), ("no", "no", "m")]
    yes = (await bench.snapshot()).actions[0]
    assert (yes.payload, yes.tooltip, yes.icon) == ({"value": 1}, "go on", "check")
    types = [type_ for type_ in await bench.types() if not type_.startswith("run")]
    assert types == ["step.start", "step.delta"] + ["action.add"] * 2 + ["step.end"]


async def test_an_update_adds_and_takes_away(bench: Bench) -> None:
    async def task() -> None:
        message = await cl.Message("Sure?", actions=[cl.Action("a"), cl.Action("b")], id="m").send()
        message.actions = [message.actions[1], cl.Action("c")]
        await message.update()
        message.actions.append(cl.Action("d"))
        # It is sent already: what is new comes with the next update.
        await message.send()
        await message.update()

    await ends_well(bench, task)
    assert [name for name, _, _ in await shown(bench)] == ["b", "c", "d"]


async def test_buttons_are_removed_one_by_one_together_and_with_their_message(
    bench: Bench,
) -> None:
    async def task() -> None:
        actions = [cl.Action("a"), cl.Action("b")]
        await actions[0].remove()
        one = await cl.Message("1", actions=actions).send()
        await actions[0].remove()
        await actions[0].remove()
        two = await cl.Message("2", actions=[cl.Action("c")], id="two").send()
        await cl.Message("3", actions=[cl.Action("d")], id="three").send()
        await one.remove_actions()
        assert one.actions == []
        await two.remove()
        await cl.Action("late").send(for_id="three")

    await ends_well(bench, task)
    assert await shown(bench) == [("d", "d", "three"), ("late", "late", "three")]


async def test_one_action_of_two_messages_is_two_buttons(bench: Bench) -> None:
    async def task() -> None:
        action = cl.Action("again")
        for id_ in ("one", "two"):
            await cl.Message("Sure?", actions=[action], id=id_).send()

    await ends_well(bench, task)
    assert [step for _, _, step in await shown(bench)] == ["one", "two"]


CLICKED = """
import stepwire as cl

@cl.on_message
async def main(message):
    actions = [cl.Action("approve", {"order": 42}), cl.Action("plain")]
    await cl.Message("Sure?", actions=actions).send()

@cl.action_callback("approve", max_attempts=2, retry_on=ValueError)
async def approved(action: cl.Action):
    if not cl.user_session.get("failed"):
        cl.user_session.set("failed", True)
        raise ValueError("try again")
    is_that = action.forId == cl.chat_context.get()[1].id
    await cl.Message(f"{action.name} {action.payload} {is_that}").send()
    await action.remove()

@cl.action_callback("plain")
def plain():
    return "not shown"
"""


async def test_a_click_runs_the_callback_with_the_action(stepwire_app: App, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(CLICKED)
    stepwire_app.load(str(tmp_path / "app.py"))
    with pytest.raises(ActionNotFound):
        await stepwire_app.click("approve")
    await stepwire_app.message("hello")
    run = await stepwire_app.click("approve")
    assert (run.status, run.handler, run.attempt) == ("ok", "action:approve", 2)
    assert stepwire_app.tree["Assistant"].children[0].output == "approve {'order': 42} True"
    with pytest.raises(ActionNotFound):
        await stepwire_app.click("approve")
    assert [(await stepwire_app.click("plain")).status for _ in range(2)] == ["ok", "ok"]


ASKS = """
import stepwire as cl

@cl.on_message
async def main(message):
    actions = [cl.Action("again"), cl.Action("sure")]
    await cl.Message(message.content.upper(), actions=actions).send()

@cl.action_callback("sure")
async def sure(action):
    actions = [cl.Action("yes"), cl.Action("no")]
    answer = await cl.AskActionMessage("Submit?", actions=actions).send()
    await cl.Message(f"chosen: {answer['name']}").send()

@cl.action_callback("again")
async def again(action):
    await main(cl.chat_context.get()[0])
"""


async def test_a_callback_may_ask_and_may_call_another_handler(
    stepwire_app: App, tmp_path: Path
) -> None:
    """As in public reports of chainlit, where the first hangs and the second loses its buttons."""
    (tmp_path / "app.py").write_text(ASKS)
    stepwire_app.load(str(tmp_path / "app.py"))
    await stepwire_app.message("hello")
    stepwire_app.reply("yes")
    assert (await stepwire_app.click("sure")).status == "ok"
    assert (await stepwire_app.click("again")).status == "ok"
    assert (await stepwire_app.click("again")).status == "ok"
    said = [step.output for step in stepwire_app.tree.walk() if step.step]
    assert sorted(said) == ["HELLO"] * 3 + ["Submit?", "chosen: yes", "hello"]
    regenerated = [
        step.step for step in stepwire_app.tree.walk() if step.step and step.output == "HELLO"
    ]
    assert not any(step is None or step.disable_feedback for step in regenerated)


async def test_wrong_use_is_said_at_once() -> None:
    with pytest.raises(InvalidArgument, match=r"an action is a cl\.Action, not str"):
        cl.Message("x", actions=["yes"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match="must be a list of actions, not Action"):
        cl.Message("x", actions=cl.Action("a"))  # type: ignore[arg-type]
    with pytest.raises(NoActiveSession, match="action 'a'"):
        await cl.Action("a").send("m")
    with collecting():
        cl.action_callback("a")(lambda: None)
        with pytest.raises(InvalidArgument, match=r"@cl\.action_callback\('a'\) is used twice"):
            cl.action_callback("a")(lambda: None)
        with pytest.raises(InvalidArgument, match="takes the name of an action"):
            cl.action_callback(lambda: None)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="a task cannot be called 'action:a'"):
            cl.task(name="action:a")
        with pytest.raises(InvalidArgument, match="not an option"):
            cl.action_callback("b", attempts=2)  # type: ignore[call-arg]


async def test_the_same_id_twice_in_one_message_is_refused(bench: Bench) -> None:
    async def task() -> None:
        action = cl.Action("a")
        with pytest.raises(InvalidArgument, match="two actions have the same id"):
            await cl.Message("x", actions=[action, action]).send()

    await ends_well(bench, task)

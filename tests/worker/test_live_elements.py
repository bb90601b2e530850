"""Lists of tasks and custom elements: shown anew when they change; and figures, and authors."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from bench import open_bench
from stepwire_core.errors import InvalidArgument, NoActiveSession

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from stepwire.testing import App
    from stepwire_core.settings import Settings

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n"


async def ends_well(bench: Bench, task: Any) -> None:
    run = await bench.run(task)
    assert run.status == "ok", run.error


async def changes(bench: Bench) -> list[dict[str, Any]]:
    return [data["props"] for type_, data in await bench.events() if type_ == "element.add"]


async def test_a_list_of_tasks_is_one_element_that_changes(bench: Bench) -> None:
    async def task() -> None:
        tasks = cl.TaskList(status="Running")
        search = cl.Task("Search", cl.TaskStatus.RUNNING)
        await tasks.add_task(search)
        await tasks.send()
        search.status = cl.TaskStatus.DONE
        async with cl.Step("write", id="w"):
            await tasks.add_task(cl.Task(title="Write", forId="w"))
            await tasks.send()
        tasks.status = "Done"
        await tasks.update()

    await ends_well(bench, task)
    snapshot = await bench.snapshot()
    [element] = snapshot.elements
    assert (element.type, element.name, element.size, element.sha256) == (
        "tasklist",
        "tasklist",
        None,
        None,
    )
    write = {"title": "Write", "status": "ready", "for_id": "w"}
    done = {"title": "Search", "status": "done", "for_id": None}
    assert [(each["status"], each["tasks"]) for each in await changes(bench)] == [
        ("Running", [done | {"status": "running"}]),
        ("Running", [done, write]),
        ("Done", [done, write]),
    ]
    # Without a message that it could stand with, it has one of its own, and keeps it.
    carrier = next(step for step in snapshot.steps if step.id == element.step_id)
    assert (carrier.type, carrier.output) == ("assistant_message", "")


async def test_a_removed_list_comes_back_with_what_it_has_become(bench: Bench) -> None:
    async def task() -> None:
        async with cl.Step("around"):
            tasks = cl.TaskList([cl.Task("a")])
            await tasks.send()
            await tasks.remove()
            await tasks.remove()
            await tasks.send()

    await ends_well(bench, task)
    snapshot = await bench.snapshot()
    assert [step.name for step in snapshot.steps] == ["around"]
    assert [element.step_id for element in snapshot.elements] == [snapshot.steps[0].id]


async def test_a_custom_element_has_its_facts_and_can_be_changed(bench: Bench) -> None:
    async def task() -> None:
        chart = cl.CustomElement(name="Chart", props={"rows": [1]}, display="side")
        await cl.Message("Here", elements=[chart]).send()
        chart.props["rows"].append(float("nan"))
        await chart.update()

    await ends_well(bench, task)
    [chart] = (await bench.snapshot()).elements
    assert (chart.type, chart.name, chart.display) == ("custom", "Chart", "side")
    assert await changes(bench) == [{"rows": [1]}, {"rows": [1, None]}]


async def test_a_figure_is_the_picture_that_it_is_when_it_is_given(bench: Bench) -> None:
    class Figure:
        """What matplotlib's figures promise."""

        def savefig(self, file: Any, *, format: str, backend: str, **_options: Any) -> None:
            assert (format, backend) == ("png", "Agg")
            file.write(PNG)

    async def task() -> None:
        await cl.Message("Here", elements=[cl.Pyplot(name="chart", figure=Figure())]).send()

    await ends_well(bench, task)
    [picture] = (await bench.snapshot()).elements
    assert (picture.type, picture.mime, picture.size) == ("image", "image/png", len(PNG))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: cl.Pyplot(figure="x"), "figure takes a matplotlib figure, not str"),
        (lambda: cl.Pyplot(figure=None), "not NoneType"),
        (
            lambda: cl.TaskList(tasks=["a"]),  # type: ignore[list-item]
            r"is a cl\.Task, not str",
        ),
        (
            lambda: cl.TaskList(tasks="a"),  # type: ignore[arg-type]
            r"must be a list of cl\.Task, not str",
        ),
        (
            lambda: cl.CustomElement(name="a", props=[1]),  # type: ignore[arg-type]
            "props takes a dict, not list",
        ),
    ],
)
def test_wrong_values_are_said_where_they_are_given(make: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        make()


async def test_a_status_of_no_task_is_said_when_the_list_is_sent(bench: Bench) -> None:
    async def task() -> None:
        tasks = cl.TaskList([cl.Task("a", "maybe")])  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=r"is one of cl\.TaskStatus, not 'maybe'"):
            await tasks.send(for_id="m")
        with pytest.raises(InvalidArgument, match=r"is a cl\.Task, not str"):
            await tasks.add_task("b")  # type: ignore[arg-type]

    await ends_well(bench, task)


# -- authors ------------------------------------------------------------------------------------

RENAMES = """
import stepwire as cl

@cl.author_rename
async def rename(author):
    return {"Assistant": "Ada's helper", "nobody": None}.get(author, author)

@cl.on_message
async def main(message):
    await cl.Message("complete").send()
    streamed = cl.Message(author="Assistant")
    await streamed.stream_token("str")
    await streamed.stream_token("eamed")
    await streamed.send()
    await streamed.update()
    await cl.Message("as it is", author="Bob").send()

    def in_thread():
        message = cl.Message()
        message.stream_token("from a ")
        message.stream_token("thread")
        cl.run_sync(message.send())

    await cl.make_async(in_thread)()
    try:
        await cl.Message("x", author="nobody").send()
    except cl.InvalidArgument:
        pass
"""


async def test_authors_of_messages_have_the_names_that_the_app_gives_them(
    stepwire_app: App, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(RENAMES)
    stepwire_app.load(str(tmp_path / "app.py"))
    assert (await stepwire_app.message("hello")).status == "ok"
    said = [(step.name, step.output) for step in stepwire_app.tree.walk() if step.step]
    helper = "Ada's helper"
    assert said == [
        ("User", "hello"),
        (helper, "complete"),
        (helper, "streamed"),
        ("Bob", "as it is"),
        (helper, "from a thread"),
    ]


# -- synchronous code ---------------------------------------------------------------------------


async def test_a_thread_streams_without_awaiting(bench: Bench) -> None:
    def task() -> None:
        assert threading.current_thread() is not threading.main_thread()
        with cl.Step("thread") as step:
            for token in ("with", "out ", "a loop"):
                step.stream_token(token)
            step.stream_token("asked", is_input=True)
            # As before.
            cl.run_sync(step.stream_token("!"))

    await ends_well(bench, task)
    step = (await bench.steps())["thread"]
    assert (step.output, step.input) == ("without a loop!", "asked")


async def test_what_it_returns_is_as_good_as_any_coroutine(bench: Bench) -> None:
    async def task() -> None:
        async with cl.Step("tasks") as step:
            await asyncio.gather(*(step.stream_token(letter) for letter in "abc"))
            await asyncio.create_task(step.stream_token("d"))
            cancelled = asyncio.create_task(step.stream_token("e"))
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert cancelled.cancelled()

    await ends_well(bench, task)
    assert (await bench.steps())["tasks"].output == "abcde"


async def test_a_thread_waits_for_room(settings: Settings, session_id: str) -> None:
    def fills() -> None:
        with cl.Step("filled") as step:
            for _ in range(50):
                step.stream_token("x" * 1000)

    small = settings.model_copy(update={"buffer_bytes": 10_000})
    async with open_bench(small, session_id) as bench:
        await ends_well(bench, fills)
        assert len((await bench.steps())["filled"].output) == 50_000


def test_outside_of_any_session_it_says_so_at_once() -> None:
    with pytest.raises(NoActiveSession):
        cl.Step("x").stream_token("y")


# -- what the session knows by itself -----------------------------------------------------------


async def test_reserved_names_of_the_user_session(bench: Bench) -> None:
    async def task() -> None:
        assert cl.user_session.get("user") is None
        assert cl.user_session.get("env") == {}
        for name in ("user", "env", "id"):
            with pytest.raises(InvalidArgument, match="and not id, user, env, chat_"):
                cl.user_session.set(name, 1)

    await ends_well(bench, task)

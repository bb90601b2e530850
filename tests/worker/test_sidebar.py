"""The sidebar, and elements that ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire_core.errors import InvalidArgument, NoActiveSession
from stepwire_core.log import answers
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import AskDocument, Submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench import Bench
    from stepwire.testing import App

pytestmark = pytest.mark.anyio

Sidebar = cl.ElementSidebar


async def shown(bench: Bench) -> dict[str, Any]:
    """The content of the sidebar, by names; empty: it is closed."""
    elements = {element.id: element for element in (await bench.snapshot()).elements}
    found = [element for element in elements.values() if element.type == "sidebar"]
    if not found:
        return {}
    [sidebar] = found
    assert sidebar.step_id is None
    props: dict[str, Any] = sidebar.props
    names = [elements[id_].name for id_ in props["elements"]]
    return {"title": props["title"], "names": names}


async def names(bench: Bench) -> list[str]:
    """The elements of the session but for the sidebar itself."""
    elements = (await bench.snapshot()).elements
    return [element.name for element in elements if element.type != "sidebar"]


async def ends_well(bench: Bench, task: Callable[[], Awaitable[None]]) -> None:
    run = await bench.run(task)
    assert run.status == "ok", run.error


async def test_elements_stand_beside_the_steps_for_as_long_as_they_are_in_it(bench: Bench) -> None:
    async def opens() -> None:
        await Sidebar.set_elements([cl.Text("a", content="1"), cl.Text("b", content="2")])
        await Sidebar.set_title("Notes")

    async def changes() -> None:
        await Sidebar.set_elements([cl.Text("c", content="3")])

    async def closes() -> None:
        await Sidebar.set_elements([])
        await Sidebar.set_elements([])

    await ends_well(bench, opens)
    assert await shown(bench) == {"title": "Notes", "names": ["a", "b"]}
    assert [element.step_id for element in (await bench.snapshot()).elements] == [None] * 3
    # Another run, on another worker: what it takes out is gone with its bytes.
    await ends_well(bench, changes)
    assert await shown(bench) == {"title": "Notes", "names": ["c"]}
    assert await names(bench) == ["c"]
    await ends_well(bench, closes)
    assert await shown(bench) == {}
    assert await names(bench) == []


async def test_what_a_step_shows_stays_with_it(bench: Bench) -> None:
    async def task() -> None:
        table = cl.Text("table", content="1")
        await cl.Message("Here", elements=[table]).send()
        await Sidebar.set_elements([table])
        await Sidebar.set_elements([])

    await ends_well(bench, task)
    assert await shown(bench) == {}
    assert await names(bench) == ["table"]
    added = [type_ for type_ in await bench.types() if type_ == "element.add"]
    assert len(added) == 2


async def test_the_same_element_can_come_back_and_change(bench: Bench) -> None:
    async def task() -> None:
        text = cl.Text("text", content="1")
        chart = cl.CustomElement("Chart", props={"n": 1})
        for elements in ([text, chart], [], [text, chart]):
            await Sidebar.set_elements(elements)
        chart.props["n"] = 2
        await Sidebar.set_elements([text, chart])
        chart.props["n"] = 3
        await chart.update()
        # A message shows a copy: what stands in the sidebar stays there.
        await cl.Message("see", elements=[text]).send()

    await ends_well(bench, task)
    assert await shown(bench) == {"title": None, "names": ["text", "Chart"]}
    elements = (await bench.snapshot()).elements
    assert [e.props for e in elements if e.name == "Chart"] == [{"n": 3}]
    texts = [e.step_id for e in elements if e.name == "text"]
    assert texts[0] is None
    assert texts[1] is not None


async def test_with_the_same_key_nothing_changes(bench: Bench) -> None:
    async def task() -> None:
        await Sidebar.set_elements([cl.Text("a", content="1")], key="k")
        await Sidebar.set_elements([cl.Text("b", content="2")], key="k")

    async def another() -> None:
        await Sidebar.set_elements([cl.Text("c", content="3")], key="other")

    await ends_well(bench, task)
    assert await names(bench) == ["a"]
    await ends_well(bench, another)
    assert await shown(bench) == {"title": None, "names": ["c"]}


async def test_a_title_stays_when_two_sidebars_take_turns(bench: Bench) -> None:
    """Chainlit/chainlit, pull request 2905: there it vanishes."""

    async def task() -> None:
        for _ in range(2):
            for name in ("A", "B"):
                await Sidebar.set_title(name)
                await Sidebar.set_elements([cl.Text(name, content=name)], key=name)
        # At once, too.
        await asyncio.gather(
            Sidebar.set_elements([cl.Text("C", content="C")], key="C"), Sidebar.set_title("C")
        )

    await ends_well(bench, task)
    assert await shown(bench) == {"title": "C", "names": ["C"]}
    titles = [
        (data["props"]["title"], data["props"]["key"])
        for type_, data in await bench.events()
        if type_ == "element.add" and data["type"] == "sidebar"
    ]
    around = [("A", "A"), ("B", "A"), ("B", "B"), ("A", "B")]
    assert titles[:8] == [("A", None), *around, *around[:3]]


async def test_what_makes_no_sense_is_refused_and_changes_nothing(bench: Bench) -> None:
    async def task() -> None:
        text = cl.Text("a", content="1")
        for call in (
            Sidebar.set_elements([text, text]),
            Sidebar.set_elements("abc"),  # type: ignore[arg-type]
            Sidebar.set_elements([5]),  # type: ignore[list-item]
            Sidebar.set_elements([text], key=5),  # type: ignore[arg-type]
            Sidebar.set_title(5),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidArgument):
                await call

    await ends_well(bench, task)
    assert (await bench.snapshot()).elements == []
    with pytest.raises(NoActiveSession):
        await Sidebar.set_title("Notes")


async def test_code_outside_of_runs_has_the_sidebar_too(bench: Bench) -> None:
    with used_as_process_publisher(bench.publisher):
        async with cl.session(bench.session_id):
            await Sidebar.set_elements([cl.Text("a", content="1")])
            await cl.ChatSettings([cl.input_widget.Switch("s", "S")]).send()
    assert await shown(bench) == {"title": None, "names": ["a"]}
    assert await names(bench) == ["a", "chat_settings"]


# -- elements that ask ----------------------------------------------------------------------------


async def test_an_element_asks_and_is_gone_when_it_is_answered(bench: Bench) -> None:
    asked: list[AskDocument] = []

    async def task() -> None:
        element = cl.CustomElement("Form", props={"city": ""})
        said = await cl.AskElementMessage("Where?", element, timeout=30).send()
        assert said == {"city": "Rome", "submitted": True}
        # One that was shown before is shown anew.
        kept = cl.CustomElement("Form")
        await cl.Message("look", elements=[kept]).send()
        said = await cl.AskElementMessage("And now?", kept, timeout=30).send()
        assert said == {"submitted": False}

    async def person() -> None:
        for submission in (
            Submission(submitted=True, props={"city": "Rome", "submitted": False}),
            Submission(submitted=False),
        ):
            ask = await open_ask(bench, asked)
            [element] = [e for e in (await bench.snapshot()).elements if e.id == ask.element_id]
            assert element.step_id == ask.step_id
            answer = answers.Answer(id=new_id(), submission=submission)
            ended = answers.ended(ask, answer)
            await bench.log.answer(answers.answer_batch(ask, answer, ended))

    run, _ = await asyncio.gather(bench.run(task), person())
    assert run.status == "ok", run.error
    assert await names(bench) == ["Form"]
    assert [ask.kind for ask in (await bench.snapshot()).asks] == ["element", "element"]


async def open_ask(bench: Bench, asked: list[AskDocument]) -> AskDocument:
    """The next ask that is open."""
    async with asyncio.timeout(20):
        while True:
            for ask in (await bench.snapshot()).asks:
                if ask.status == "open" and ask not in asked:
                    asked.append(ask)
                    return ask


async def test_an_element_that_is_not_answered_in_time_is_gone(bench: Bench) -> None:
    async def task() -> None:
        assert await cl.AskElementMessage("?", cl.CustomElement("F"), timeout=0.01).send() is None
        with pytest.raises(TimeoutError):
            await cl.AskElementMessage(
                "?", cl.CustomElement("F"), timeout=0.01, raise_on_timeout=True
            ).send()

    await ends_well(bench, task)
    assert await names(bench) == []


async def test_only_an_element_of_a_front_end_can_ask() -> None:
    with pytest.raises(InvalidArgument, match=r"takes a cl\.CustomElement, not Text"):
        cl.AskElementMessage("?", cl.Text("a", content="b"))  # type: ignore[arg-type]


async def test_a_test_replies_to_an_element(stepwire_app: App, tmp_path: Any) -> None:
    path = tmp_path / "app_with_element.py"
    path.write_text(
        "import stepwire as cl\n"
        "@cl.on_message\n"
        "async def main(message):\n"
        "    form = cl.CustomElement('Form')\n"
        "    await cl.Message(str(await cl.AskElementMessage('?', form).send())).send()\n"
    )
    stepwire_app.load(str(path))
    stepwire_app.reply({"a": 1})
    await stepwire_app.message("go")
    stepwire_app.reply({"submitted": False})
    await stepwire_app.message("go")
    answers_shown = [message.children[-1].output for message in stepwire_app.tree.children]
    assert answers_shown == [str({"a": 1, "submitted": True}), str({"submitted": False})]

"""Forms of settings: their inputs, the values that are kept, and those that handlers get."""

from __future__ import annotations

from datetime import date
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from stepwire.input_widget import (
    Checkbox,
    DatePicker,
    InputWidget,
    MultiSelect,
    NumberInput,
    RadioGroup,
    Select,
    Slider,
    Switch,
    Tab,
    Tags,
    TextInput,
)
from stepwire_core.errors import (
    InvalidArgument,
    InvalidSettings,
    NoActiveSession,
    SettingsNotFound,
    ValueTooLarge,
)
from stepwire_core.wire.choices.settings_form import flaw, with_values

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from stepwire.testing import App

pytestmark = pytest.mark.anyio


def every_input() -> list[InputWidget]:
    """One of each kind, with its first value."""
    return [
        Switch("switch", "Switch", True),
        Checkbox("checkbox", "Checkbox"),
        Slider("slider", "Slider", initial=0.5, min=0, max=1, step=0.1, tooltip="how hot"),
        NumberInput("number", "Number", placeholder="any"),
        TextInput("text", "Text", initial="a", multiline=True),
        Select("select", "Select", values=["a", "b"], initial_index=1),
        RadioGroup("radio", "Radio", items={"Yes": "y", "No": "n"}, initial_value="n"),
        MultiSelect("many", "Many", items={"A": "a", "B": "b"}, initial=["a"]),
        Tags("tags", "Tags", initial=["x"], values=["x", "y"]),
        DatePicker("day", "Day", initial=date(2026, 11, 29), min_date="2026-01-01"),
        DatePicker("days", "Days", mode="range", initial=("2026-01-01", date(2026, 1, 2))),
    ]


FIRST = {
    "switch": True,
    "checkbox": False,
    "slider": 0.5,
    "number": None,
    "text": "a",
    "select": "b",
    "radio": "n",
    "many": ["a"],
    "tags": ["x"],
    "day": "2026-11-29",
    "days": ["2026-01-01", "2026-01-02"],
}


def form_of(snapshot: Any) -> dict[str, Any]:
    [form] = [element for element in snapshot.elements if element.type == "settings"]
    assert form.step_id is None
    props: dict[str, Any] = form.props
    return props


async def test_a_form_is_one_element_and_its_first_values_are_kept(bench: Bench) -> None:
    seen: list[Any] = []

    async def sends() -> None:
        seen.append(cl.user_session.get("chat_settings"))
        [switch, *others] = every_input()
        seen.append(await cl.ChatSettings([switch, Tab("t", "More", others)]).send())
        seen.append(cl.user_session.get("chat_settings"))

    async def reads() -> None:
        seen.append(cl.user_session.get("chat_settings"))
        # A copy: changes that a handler makes to it have no effect.
        cl.user_session.get("chat_settings")["tags"].append("z")

    assert (await bench.run(sends)).status == "ok"
    assert seen == [{}, FIRST, FIRST]
    form = form_of(await bench.snapshot())
    assert [item["id"] for item in form["inputs"]] == ["switch", "t"]
    assert form["inputs"][1]["inputs"][1]["tooltip"] == "how hot"
    assert form["values"] == FIRST
    for _ in range(2):
        assert (await bench.run(reads)).status == "ok"
    assert seen[3:] == [FIRST, FIRST]


async def test_another_form_takes_the_place_of_the_one_before(bench: Bench) -> None:
    async def sends(form: str) -> None:
        await cl.ChatSettings([TextInput(form, form, initial=form)]).send()

    async def refreshes() -> None:
        shown = await cl.ChatSettings([TextInput("c", "C", initial="new")]).refresh()
        assert shown == {"c": "new"}
        assert cl.user_session.get("chat_settings") == {"b": "b"}

    for name in ("a", "b"):
        await bench.run(sends, form=name)
    assert (await bench.run(refreshes)).status == "ok"
    assert form_of(await bench.snapshot())["values"] == {"c": "new"}
    types = [type_ for type_, _ in await bench.events() if type_.startswith("element")]
    assert types == ["element.add"] * 3


async def test_what_is_chosen_by_people_cannot_be_set_by_handlers(bench: Bench) -> None:
    async def sets(name: str) -> None:
        cl.user_session.set(name, {"a": 1})

    for name in ("chat_settings", "chat_profile"):
        run = await bench.run(sets, name=name)
        assert run.error is not None
        assert run.error.type == "InvalidArgument"


async def test_a_form_that_is_too_large_is_refused_where_it_is_sent(bench: Bench) -> None:
    bench.publisher.settings.max_event_bytes = 2_000

    async def sends() -> None:
        with pytest.raises(ValueTooLarge, match="the form of the settings has"):
            await cl.ChatSettings([TextInput("a", "A", initial="x" * 3_000)]).send()

    assert (await bench.run(sends)).status == "ok"
    assert (await bench.snapshot()).elements == []


async def test_outside_a_session_there_is_no_form() -> None:
    with pytest.raises(NoActiveSession):
        await cl.ChatSettings([]).send()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Switch("", "Label"), "the id is a text, not ''"),
        (lambda: Switch("a", None), "the label is a text, not None"),  # type: ignore[arg-type]
        (lambda: Switch("a", "A", initial="yes"), "initial takes true or false"),  # type: ignore[arg-type]
        (lambda: Slider("a", "A", initial=11), "initial takes a number from 0 to 10, not 11"),
        (lambda: Slider("a", "A", min=1, max=0), "min is at most max"),
        (lambda: Slider("a", "A", step=0), "step is above zero"),
        (lambda: Slider("a", "A", max=float("nan")), "max is a number, not nan"),
        (lambda: Slider("a", "A", max="5"), "max is a number, not '5'"),  # type: ignore[arg-type]
        (lambda: Select("a", "A"), "give either values or items"),
        (lambda: Select("a", "A", values=["x"], items={"y": "z"}), "either values or items"),
        (lambda: Select("a", "A", values=["x"], initial_index=3), "not 3"),
        (
            lambda: Select("a", "A", items={"X": "x"}, initial_index=0),
            "counts values",
        ),
        (lambda: Select("a", "A", values=["x"], initial_value="y"), "takes one of 'x', or null"),
        (lambda: Select("a", "A", items=["x"]), "items is a dict of labels"),  # type: ignore[arg-type]
        (lambda: Select("a", "A", values="xyz"), "values is a list of texts"),
        (
            lambda: MultiSelect("a", "A", values=["x"], initial=["x", "x"]),
            "each of its values once",
        ),
        (lambda: Tags("a", "A", initial="xyz"), "initial is a list of texts"),
        (lambda: TextInput("a", "A", tooltip=5), "tooltip is a text, not int"),  # type: ignore[arg-type]
        (lambda: DatePicker("a", "A", initial="29.11.2026"), "takes a date (2026-11-29)"),
        (lambda: DatePicker("a", "A", mode="range", initial="2026-11-29"), "a list of two dates"),
        (
            lambda: DatePicker("a", "A", mode="range", initial=("2026-02-01", "2026-01-01")),
            "ends before it begins",
        ),
        (
            lambda: DatePicker("a", "A", initial="2026-01-01", min_date="2026-02-01"),
            "no date before",
        ),
        (lambda: DatePicker("a", "A", min_date="2026-02-01", max_date="2026-01-01"), "not after"),
        (lambda: DatePicker("a", "A", mode="week"), "mode is 'single' or 'range'"),  # type: ignore[arg-type]
        (lambda: Tab("t", "T", "abc"), "inputs is a list of inputs"),  # type: ignore[arg-type]
        (lambda: Tab("t", "T", [5]), "one of stepwire.input_widget, not int"),  # type: ignore[list-item]
        (lambda: cl.ChatSettings("abc"), "takes a list of inputs"),  # type: ignore[arg-type]
        (lambda: cl.ChatSettings([{"id": "a"}]), "one of stepwire.input_widget"),  # type: ignore[list-item]
        (
            lambda: cl.ChatSettings([Switch("a", "A"), Tab("t", "T", [Switch("a", "B")])]),
            "two inputs of ChatSettings have the same id",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_where_it_is_said(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        make()
    assert message in str(raised.value)


INPUTS = {each.id: each.to_dict() for each in every_input()}


@pytest.mark.parametrize(
    ("id_", "good", "bad"),
    [
        ("switch", [True, False], [1, 0, None, "true"]),
        ("slider", [0, 1, 0.55], [-0.1, 1.1, True, "0.5", None, float("nan"), float("inf")]),
        ("number", [-5, 1e9, None], [True, "5", float("inf"), []]),
        ("text", ["", "x" * 100, None], [5, ["a"], {}]),
        ("select", ["a", None], ["c", "A", 1, ["a"]]),
        ("radio", ["y", None], ["Yes", ""]),
        ("many", [[], ["b", "a"]], [["a", "a"], ["c"], "a", None, [["a"]]]),
        ("tags", [[], ["new", "new"]], ["x", [1], None]),
        ("day", ["2026-01-01", None], ["2025-12-31", "2026-1-1", "20260101", "2026-02-30", 5]),
        (
            "days",
            [["2026-01-01", "2026-01-01"], None],
            ["2026-01-01", ["2026-01-01"], [None, None]],
        ),
    ],
)
async def test_a_value_fits_its_input_or_the_flaw_is_said(
    id_: str, good: list[Any], bad: list[Any]
) -> None:
    assert [value for value in good if flaw(INPUTS[id_], value)] == []
    assert [value for value in bad if not flaw(INPUTS[id_], value)] == []


async def test_a_form_of_a_newer_version_takes_what_this_one_knows() -> None:
    form = {"inputs": [{"id": "new", "type": "hologram", "initial": 3}, INPUTS["text"], "odd"]}
    assert with_values(form, {"text": "b"}) == {"new": 3, "text": "b"}
    with pytest.raises(InvalidSettings, match="does not know inputs of type 'hologram'"):
        with_values(form, {"new": 4})


APP = """
    import stepwire as cl
    from stepwire.input_widget import Select, Slider

    def form(model):
        top = 1 if model == "small" else 2
        return cl.ChatSettings([
            Select("model", "Model", values=["small", "large"], initial_value=model),
            Slider("heat", "Heat", initial=top, max=top),
        ])

    @cl.on_chat_start
    async def begin():
        await form("small").send()

    @cl.on_settings_update
    async def changed(settings):
        assert settings == cl.user_session.get("chat_settings")
        await cl.Message(f"changed {settings}").send()

    @cl.on_settings_edit
    async def edited(settings):
        await form(settings["model"]).refresh()

    @cl.on_chat_resume
    async def resume(thread):
        await cl.Message(str(thread["metadata"])).send()
"""


def load(app: App, folder: Path, text: str) -> None:
    path = folder / "settings_app.py"
    path.write_text(dedent(text))
    app.load(str(path))


async def test_a_form_whose_inputs_depend_on_each_other(stepwire_app: App, tmp_path: Path) -> None:
    load(stepwire_app, tmp_path, APP)
    with pytest.raises(SettingsNotFound):
        await stepwire_app.change_settings(heat=1)
    await stepwire_app.start()
    with pytest.raises(InvalidSettings, match="'heat' takes a number from 0 to 1, not 2"):
        await stepwire_app.change_settings(heat=2)
    assert (await stepwire_app.edit_settings(model="large")).status == "ok"
    run = await stepwire_app.change_settings(heat=1.5)
    assert run is not None
    assert run.status == "ok", run.error
    await stepwire_app.resume()
    outputs = [branch.output for branch in stepwire_app.tree.children]
    settings = {"model": "large", "heat": 1.5}
    assert outputs == [f"changed {settings}", str({"chat_settings": settings})]

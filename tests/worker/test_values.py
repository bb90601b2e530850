"""Any value in a step can be sent, stored and read again; what a model hides stays hidden."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr, field_serializer, model_serializer

import stepwire as cl
from bench import Bench
from documents import nested
from stepwire._values.rendering import as_text
from stepwire_core.wire.documents import StepDocument

pytestmark = pytest.mark.anyio


STEP: list[tuple[str, Any, str]] = [
    ("name", None, "the name of a step must be a string"),
    ("type", 5, "the type of a step must be a string"),
    ("id", "a b", "step id 'a b' is not usable"),
    ("parent_id", "a b", "parent id 'a b' is not usable"),
    ("metadata", [1], "the metadata of a step must be a dict"),
    ("tags", "word", "the tags of a step must be a list of strings"),
    ("tags", ["word", 5], "the tags of a step must be a list of strings"),
    ("language", 5, "the language of a step must be a string"),
    ("icon", 5, "the icon of a step must be a string"),
    ("show_input", [], "the show_input of a step must be True or False"),
    ("default_open", "yes", "the default_open of a step must be True or False"),
    ("auto_collapse", "no", "the auto_collapse of a step must be True or False"),
    ("disable_feedback", "no", "the disable_feedback of a step must be True or False"),
    ("status", "done", "the status of a step is one of running, ok, error"),
    ("status", 5, "the status of a step is one of running, ok, error"),
    ("elements", ["x"], "the elements of a step are cl.Image, cl.File and so on, not str"),
    ("elements", "x", "the elements of a step must be a list of elements"),
    ("elements", 5, "the elements of a step must be a list of elements"),
]


@pytest.mark.parametrize(("name", "value", "said"), STEP)
async def test_an_attribute_is_refused_where_it_is_assigned(
    bench: Bench, name: str, value: object, said: str
) -> None:
    async def handler() -> None:
        step = cl.Step("s", id="s")
        with pytest.raises(cl.InvalidArgument, match=said):
            setattr(step, name, value)
        await step.send()
        with pytest.raises(cl.InvalidArgument, match=said):
            setattr(step, name, value)
        if value is not None and name != "status":
            with pytest.raises(cl.InvalidArgument, match=said):
                cl.Step(**{"name": "s"} | {name: value})  # type: ignore[arg-type]
        message = cl.Message("m")
        if hasattr(message, name):
            with pytest.raises(cl.InvalidArgument, match=said.replace("step", "message", 1)):
                setattr(message, name, value)

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    assert (await bench.steps())["s"].status == "ok"


async def test_an_id_is_free_until_it_is_sent_and_then_fixed(bench: Bench) -> None:
    said = "is what clients know it by, and it has been sent"

    async def handler() -> None:
        async with cl.Step(name="s") as step:
            step.id = step.id
            with pytest.raises(cl.InvalidArgument, match=f"the id of this step {said}"):
                step.id = "other"
        later = cl.Step(name="later")
        later.id = "later"
        await later.send()
        with pytest.raises(cl.InvalidArgument, match=f"the id of this step {said}"):
            later.id = "other"
        message = cl.Message("m", author="m")
        message.id = "m"
        await message.send()
        with pytest.raises(cl.InvalidArgument, match=f"the id of this message {said}"):
            message.id = "other"
        element = cl.Text(name="t", content="t")
        element.id = "t"
        await element.send(for_id="later")
        with pytest.raises(cl.InvalidArgument, match=f"the id of this element {said}"):
            element.id = "other"
        # With another message it is another element.
        await cl.Message("again", id="again", elements=[element]).send()

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = {step.id: step for step in (await bench.steps()).values()}
    assert {"later", "m", "again"} < steps.keys()
    assert "other" not in steps
    assert {step.status for step in steps.values()} == {"ok"}
    [copy] = steps["again"].elements
    assert copy not in ("t", "other")


async def test_none_is_taken_where_the_library_whose_api_this_is_takes_it(bench: Bench) -> None:
    options: dict[str, Any] = dict.fromkeys(
        [
            *("name", "id", "parent_id", "elements", "metadata", "tags", "language", "icon"),
            *("show_input", "default_open", "auto_collapse", "root", "disable_feedback"),
        ]
    )

    async def handler() -> None:
        async with cl.Step(**options) as step:
            for name in ("metadata", "tags", "elements", "default_open", "show_input", "icon"):
                setattr(step, name, None)
        await cl.Message("m", author=None, metadata=None, tags=None, elements=None).send()

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    step = (await bench.steps())["undefined"]
    assert (step.metadata, step.tags, step.elements) == ({}, [], [])
    assert (step.default_open, step.auto_collapse, step.show_input) == (False, False, False)
    assert (step.disable_feedback, step.icon) == (True, None)
    assert "Assistant" in await bench.steps()


async def test_what_is_put_in_later_is_shown_as_far_as_it_can_be(bench: Bench) -> None:
    kept = []

    async def handler() -> None:
        step = await cl.Step("s", metadata={"a": 1}, tags=["t"]).send()
        step.metadata["object"] = object
        step.metadata["deep"] = nested(200)
        step.metadata["nan"] = [math.nan, math.inf]
        step.metadata["huge"] = 10**5_000
        step.metadata["half \ud83d"] = "\ude00"
        step.tags.append(5)  # type: ignore[arg-type]
        step.elements.append("no element")  # type: ignore[arg-type]
        kept.append(step)

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    step = (await bench.steps())["s"]
    assert step.status == "ok"
    assert step.tags == ["t", "5"]
    assert step.metadata["object"] == "<class 'object'>"
    assert "nested too deeply" in json.dumps(step.metadata["deep"])
    assert step.metadata["nan"] == [None, None]
    assert step.metadata["huge"] == "<an integer of 16610 bits>"
    assert step.metadata["half \ufffd"] == "\ufffd"


async def test_an_attribute_that_is_ours_and_was_set_all_the_same_ends_no_run(bench: Bench) -> None:
    async def handler() -> None:
        step = await cl.Step("s").send()
        step.started_at = 5  # type: ignore[assignment]
        with pytest.raises(cl.InvalidArgument, match="its started_at has a value that"):
            await step.update()

    assert (await bench.run(handler)).status == "ok"


@pytest.mark.parametrize(
    ("attribute", "value"), [("started_at", 5), ("ended_at", 5), ("ended_at", "x")]
)
async def test_a_step_ends_whatever_was_set_that_is_ours(
    bench: Bench, attribute: str, value: object
) -> None:
    """At its own end, not only with its run; and its text is kept."""

    async def handler() -> None:
        with suppress(cl.InvalidArgument):
            async with cl.Step("s") as step:
                step.output = "text"
                setattr(step, attribute, value)
        async with cl.Step("after"):
            pass

    assert (await bench.run(handler)).error is None
    of_steps = [type_ for type_ in await bench.types() if type_.startswith("step.")]
    assert of_steps == ["step.start", "step.end"] * 2
    step = (await bench.steps())["s"]
    assert (step.status, step.output) == ("ok", "text")
    assert step.started_at <= (step.ended_at or "")


def test_a_document_is_readable_whatever_it_is_made_from() -> None:
    step = StepDocument(
        id="s",
        session_id="s",
        run_id=None,
        attempt=0,
        parent_id=None,
        name="\ud83d",
        type="tool",
        status="ok",
        metadata={"deep": nested(150), "nan": math.nan, "\ud83d": ["\ud83d"]},
        started_at="now",
        ts="now",
    )
    again = StepDocument.model_validate_json(step.to_json())
    assert again == step
    assert again.metadata["\ufffd"] == ["\ufffd"]
    assert again.metadata["nan"] is None


class Hiding(BaseModel):
    shown: str = "shown"
    excluded: str = Field(default="SECRET", exclude=True)
    token: SecretStr = SecretStr("SECRET")
    masked: str = "SECRET"

    @field_serializer("masked")
    def _mask(self, _: str) -> str:
        return "***"


class Whole(BaseModel):
    key: str = "SECRET"

    @model_serializer
    def _shown(self) -> dict[str, str]:
        return {"key": "***"}


class Overridden(BaseModel):
    key: str = "SECRET"

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"key": "***"}


class Failing(BaseModel):
    key: str = "SECRET"

    @field_serializer("key")
    def _fail(self, _: str) -> str:
        raise RuntimeError("no")


class Frozen(BaseModel, frozen=True):
    shown: int = 1
    excluded: str = Field(default="SECRET", exclude=True)


class Root(RootModel[list[Hiding]]):
    pass


class Holding(BaseModel):
    anything: Any = None


@pydantic.dataclasses.dataclass
class Data:
    shown: str = "shown"
    excluded: str = Field(default="SECRET", exclude=True)


@dataclasses.dataclass
class Below(Data):
    own: int = 1


@dataclasses.dataclass
class Plain:
    model: Hiding


def deep_in_lists() -> object:
    value: object = Hiding()
    for _ in range(60):
        value = [value]
    return value


HIDING: list[Callable[[], object]] = [
    Hiding,
    Whole,
    Overridden,
    Failing,
    Data,
    Below,
    Frozen,
    lambda: Root([Hiding()]),
    lambda: Plain(Hiding()),
    lambda: Holding(anything=[Hiding(), {"x": Data()}]),
    lambda: Holding(anything={"a lock": object(), "x": Hiding()}.values()),
    lambda: [Hiding(), (Hiding(),), {"x": {"y": Hiding()}}],
    lambda: {Frozen(): 1, (Frozen(), 2): {Frozen()}},
    lambda: collections.deque([Hiding()]),
    lambda: {"x": Hiding()}.values(),
    lambda: {"x": Hiding()}.items(),
    lambda: types.MappingProxyType({"x": Hiding()}),
    lambda: collections.UserDict({"x": Hiding()}),
    lambda: collections.UserList([Hiding()]),
    lambda: SecretStr("SECRET"),
    deep_in_lists,
]


@pytest.mark.parametrize("make", HIDING, ids=range(len(HIDING)))
async def test_what_a_model_hides_is_shown_nowhere(
    bench: Bench, make: Callable[[], object]
) -> None:
    @cl.step
    async def call(value: object, *more: object, **named: object) -> object:
        return value

    @cl.step
    def stream(value: object) -> Iterator[object]:
        yield value

    async def handler() -> None:
        value = make()
        await call(value, value, named=value)
        for _ in stream(value):
            pass
        async with cl.Step("s", metadata={"x": value}) as step:
            step.metadata["y"] = [value]
            step.tags.append(value)  # type: ignore[arg-type]
            step.input = value
        await cl.Json(name="j", content=value).send()

    assert (await bench.run(handler)).status == "ok"
    for _, data in await bench.events():
        assert "SECRET" not in json.dumps(data)


@pytest.mark.parametrize("value", [Hiding(), Whole(), Frozen(), Root([Hiding()])], ids=repr)
def test_a_model_is_shown_as_its_own_dump_says(value: BaseModel) -> None:
    assert json.loads(as_text(value)[0]) == value.model_dump(mode="json")


def test_a_model_that_cannot_be_dumped_leaves_a_mark() -> None:
    shown = json.loads(as_text({"good": 1, "bad": Failing()})[0])
    assert shown["good"] == 1
    assert shown["bad"] == "<Failing: PydanticSerializationError while it was shown>"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: cl.Json(name="j", content="[NaN]"), "[null]"),
        (lambda: cl.Json(name="j", content={"x": math.nan}), '{"x": null}'),
        (lambda: cl.Plotly(name="p", figure={"x": [math.inf]}), '{"x": [null]}'),
        (lambda: cl.Plotly(name="p", figure=Writes('{"x": NaN}')), '{"x": null}'),
        (lambda: cl.Plotly(name="p", figure=Writes('{"x": "NaN"}')), '{"x": "NaN"}'),
        (
            lambda: cl.Dataframe(name="d", data=[{"x": math.nan}]),
            '{"columns": ["x"], "index": [0], "data": [[null]]}',
        ),
    ],
)
def test_what_leaves_as_json_is_json(make: Callable[[], cl.Element], said: str) -> None:
    assert make().content == said


@pytest.mark.parametrize("text", ["{NaN", None, b"{}"])
def test_a_to_json_that_returns_no_json_is_refused(text: object) -> None:
    with pytest.raises(cl.InvalidArgument, match="figure"):
        cl.Plotly(name="p", figure=Writes(text))


class Writes:
    """A figure that writes itself as it wants."""

    def __init__(self, text: object) -> None:
        self._text = text

    def to_json(self) -> object:
        return self._text


CHANGES: list[tuple[str, object]] = [
    ("display", "up"),
    ("mime", "x"),
    ("mime", "text/plain\r\nX-Forged: yes;"),
    ("mime", "text/plain\r\n;"),
    ("size", "xl"),
    ("name", 5),
]


async def test_element_attributes_and_props_can_be_stored(bench: Bench) -> None:
    async def handler() -> None:
        element = cl.Text("t", content="half \ud83d")
        for name, value in CHANGES:
            with pytest.raises(cl.InvalidArgument):
                setattr(element, name, value)
        await element.send()
        config = {"deep": nested(200), "nan": math.nan, "half": "\ud83d", 5: Hiding()}
        await cl.Video("v", content=b"v", player_config=config).send()  # type: ignore[arg-type]

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    _, video = (await bench.snapshot()).elements
    config = video.props["player_config"]
    assert isinstance(config, dict)
    assert (config["nan"], config["half"]) == (None, "\ufffd")
    assert config["5"] == {"shown": "shown", "token": "**********", "masked": "***"}

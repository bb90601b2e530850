"""What workers tell of their tasks: a schema of the arguments, with what the docstring says."""

from __future__ import annotations

import functools
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from stepwire._handlers import task_schemas
from stepwire._handlers.registry import collecting
from stepwire._handlers.task_schemas import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from nowhere import Unknown  # type: ignore[import-not-found]


class Box(BaseModel):
    width: int = Field(gt=0, description="In millimetres.")
    lid: bool = True


class Opaque:
    """No JSON can be one of these."""


async def report(
    city: str,
    days: int = 7,
    unit: Literal["c", "f"] = "c",
    box: Box | None = None,
    day: date = date(2026, 1, 2),
    share: Annotated[float, Field(ge=0, le=1, description="A part.")] = 0.5,
) -> str:
    """Write a report.

    It has as many pages as it needs.

    Args:
        city: Where, in
            any language.
        days: How many.
        share: What the annotation says counts.
    """
    del day
    return f"{city}{days}{unit}{box}{share}"


def told(function: Callable[..., Any], name: str = "task") -> Any:
    with collecting() as handlers:
        handlers.add(name, function)
    [task] = describe(handlers)
    return task


def test_a_schema_has_the_types_defaults_and_texts_of_the_parameters() -> None:
    task = told(report)
    assert task.description == "Write a report.\n\nIt has as many pages as it needs."
    schema = task.args_schema
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == (
        "object",
        ["city"],
        False,
    )
    properties = schema["properties"]
    assert list(properties) == ["city", "days", "unit", "box", "day", "share"]
    assert properties["city"] == {"type": "string", "description": "Where, in any language."}
    assert properties["days"] == {"type": "integer", "description": "How many.", "default": 7}
    assert properties["unit"] == {"type": "string", "enum": ["c", "f"], "default": "c"}
    assert properties["box"]["anyOf"] == [{"$ref": "#/$defs/Box"}, {"type": "null"}]
    assert properties["day"] == {"type": "string", "format": "date", "default": "2026-01-02"}
    assert properties["share"]["description"] == "A part."
    assert (properties["share"]["minimum"], properties["share"]["maximum"]) == (0, 1)
    assert schema["$defs"]["Box"]["required"] == ["width"]


def test_a_type_that_nothing_describes_costs_its_parameter_alone() -> None:
    def odd(  # type: ignore[no-untyped-def]
        a: Opaque,
        b: Unknown,
        c,
        n: int,
        d: Callable[[], None] = print,
        e: float = float("nan"),
        **more: int,
    ) -> None: ...

    schema = told(odd).args_schema
    assert schema["properties"] == {
        "a": {},
        "b": {},
        "c": {},
        "n": {"type": "integer"},
        "d": {},
        "e": {"type": "number"},
    }
    assert schema["required"] == ["a", "b", "c", "n"]
    assert schema["additionalProperties"] is True


class Hostile:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:
        raise RuntimeError("not today")

    def __call__(self, value: Hostile, at: str = "\ud800") -> None: ...


def test_objects_partials_and_hostile_code_are_described_as_far_as_they_can_be() -> None:
    task = told(functools.partial(report, "Rome"))
    assert task.description.startswith("Write a report.")
    assert "city" not in task.args_schema["properties"]
    task = told(Hostile())
    assert task.description == ""
    # A default that no JSON can carry is left out.
    assert task.args_schema["properties"] == {"value": {}, "at": {"type": "string"}}


@pytest.mark.parametrize(
    "text",
    [
        "Do it.\n\nParameters\n----------\nvalue : int\n    How much.\n",
        "Do it.\n\n:param value: How much.\n",
        "Do it.\n\nArgs:\n    value (int): How much.\n",
    ],
)
def test_docstrings_are_read_in_all_common_styles(text: str) -> None:
    def documented(value: int) -> None: ...

    documented.__doc__ = text
    task = told(documented)
    assert task.description == "Do it."
    assert task.args_schema["properties"]["value"]["description"] == "How much."


def test_a_description_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def large(value: int) -> None: ...

    large.__doc__ = "x" * 10_000
    assert len(told(large).description) == task_schemas.MAX_DESCRIPTION_CHARS

    def wide(kind: str) -> None: ...

    wide.__annotations__["kind"] = Literal[tuple(f"word-{n}" for n in range(5_000))]
    assert told(wide).args_schema is None

    monkeypatch.setattr(task_schemas, "MAX_BYTES", 400)
    with collecting() as handlers:
        for n in range(9):
            handlers.add(f"task-{n}", report if n == 0 else lambda value: value)
    tasks = describe(handlers)
    assert [task.name for task in tasks] == [f"task-{n}" for n in range(9)]
    assert sum(len(task.model_dump_json()) for task in tasks if task.args_schema) <= 400
    assert tasks[0].args_schema is None
    assert tasks[1].args_schema is not None


def test_handlers_of_events_are_no_tasks() -> None:
    with collecting() as handlers:
        handlers.add("on_message", report)
        handlers.add("action:go", report)
    assert describe(handlers) == []

"""Sessions that no person would make, for the mappings of faces by themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from documents import a_step
from stepwire_core.values.cursor import Cursor
from stepwire_gateway.faces.aisdk.mapping import UiMessageMapping
from stepwire_gateway.faces.events import FaceEvent
from stepwire_gateway.faces.langgraph.filters import Subscription
from stepwire_gateway.faces.langgraph.mapping import LangGraphMapping
from stepwire_gateway.faces.langgraph.paths import LEVELS
from stepwire_gateway.faces.mapping import Mapping
from stepwire_gateway.faces.tool_values import value_of

DEEP = 3_000

FACES = ["aisdk", "langgraph"]


def mapping_of(face: str) -> Mapping:
    if face == "aisdk":
        return UiMessageMapping("r")
    return LangGraphMapping(Subscription(channels=["custom", "lifecycle", "tools"]))


def event(type_: str, **data: Any) -> FaceEvent:
    return FaceEvent(type_, data, Cursor(1, 1))


def nested(depth: int) -> list[FaceEvent]:
    step = a_step("s", "s").model_dump(mode="json")
    above = [None, *(f"s{level}" for level in range(depth))]
    return [
        event("step.start", **step | {"id": f"s{level}", "parent_id": above[level]})
        for level in range(depth)
    ]


def told(frames: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in frames.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("face", FACES)
def test_steps_that_are_nested_deeper_than_calls_can_be_are_removed(face: str) -> None:
    mapping = mapping_of(face)
    for begun in nested(DEEP):
        mapping.tell(begun)
    removed = told(mapping.tell(event("step.remove", id="s0")))
    assert len(removed) == (DEEP if face == "aisdk" else 1)
    # Nobody is told more of any of them.
    late = event("step.delta", id=f"s{DEEP - 1}", field="output", text="late")
    assert mapping.tell(late) == b""


def test_the_namespace_of_a_deep_step_is_bounded_and_its_own() -> None:
    mapping = mapping_of("langgraph")
    namespaces = {
        tuple(one["params"]["namespace"])
        for begun in nested(100)
        for one in told(mapping.tell(begun))
    }
    assert len(namespaces) == 100
    assert max(map(len, namespaces)) == LEVELS + 1


@pytest.mark.parametrize("text", ["NaN", '{"a": -Infinity}', "[1e999]", "[" * 100_000, "no JSON"])
def test_what_no_client_could_parse_is_a_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize("face", FACES)
def test_a_tool_that_returns_nan_does_not_end_the_stream_of_its_reader(face: str) -> None:
    mapping = mapping_of(face)
    step = a_step("s", "s", type="tool", status="ok", output="NaN").model_dump(mode="json")
    frames = mapping.tell(event("step.end", **step | {"ended_at": step["started_at"]}))
    assert b'"output":"NaN"' in frames

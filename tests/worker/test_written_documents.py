"""The documents of steps are written without their model, and are what the model would write."""

from __future__ import annotations

import json
from datetime import date
from enum import StrEnum
from typing import Any, Final

import pytest

import stepwire as cl
from bench import Bench
from documents import nested
from stepwire_core.log.event_log import LogTail
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import StepDocument

pytestmark = pytest.mark.anyio


class Kind(StrEnum):
    TOOL = "tool"


TEXTS: Final = [
    "",
    "plain",
    'é "quoted" \\ / \x00\x1f\x7f\u2028',
    "half of a pair \ud83d",
    "both halves \ud83d\ude00",
    "\U0001f600",
    "long " * 2_000,
    Kind.TOOL,
]

FACTS: Final[list[dict[Any, Any]]] = [
    {"a": 1, "b": [1, 2.5, None, True], "c": {"x": "y"}},
    {"nan": float("nan"), "inf": float("inf"), "big": 2**70, "tenths": 0.1 + 0.2, "zero": -0.0},
    {"half \ud800": "\udc00", "pair": "\ud83d\ude00"},
    {"deep": nested(80)},
    {"day": date(2026, 11, 30), "bytes": b"xx", "set": {1}, "kind": Kind.TOOL, 1: 2, (1, 2): 3},
]


async def written(bench: Bench) -> list[str]:
    """The documents of all events that tell of a whole step, as they are stored."""
    top = Cursor.parse((await bench.snapshot()).cursor)
    cursor, found = Cursor(top.epoch, 0), []
    while cursor != top:
        read = await bench.log.read(bench.session_id, cursor)
        assert isinstance(read, LogTail)
        whole = ("step.start", "step.update", "step.end")
        found += [event.data for event in read.events if event.type in whole]
        cursor = read.events[-1].cursor
    return found


async def test_what_a_step_sends_is_what_its_model_would_write(bench: Bench) -> None:
    async def handler() -> None:
        for text in TEXTS:
            async with cl.Step(text or "name", type=text or "type", tags=[text, "tag"]) as step:
                step.input = step.output = text
                step.language = step.icon = text or None
                step.show_input = text or True
                step.usage(input_tokens=2**40, cost=0.1, model=text)
                step.progress(1, 2, text)
        for facts in FACTS:
            async with cl.Step("facts", metadata=facts, default_open=True) as step:
                step.disable_feedback, step.auto_collapse = False, True
                step.input = step.output = facts
                await step.update()
            await cl.Message("said", metadata=facts, tags=["tag"]).send()
        with pytest.raises(ExceptionGroup):
            async with cl.Step("fails"):
                raise ExceptionGroup("some \ud800", [ValueError("é"), KeyError("k")])
        step = await cl.Step("told").send()
        step.error = {"type": "Told", "message": "as a dict"}  # type: ignore[assignment]
        await step.update()
        await cl.ErrorMessage("oops").send()

    assert (await bench.run(handler)).status == "ok"
    documents = await written(bench)
    # Each has two events at least.
    assert len(documents) >= 2 * (len(TEXTS) + 2 * len(FACTS) + 3)
    for document in documents:
        assert document == StepDocument.model_validate_json(document).to_json()
    told = [json.loads(document) for document in documents if '"told"' in document]
    assert told[-1]["error"] == {"type": "Told", "message": "as a dict"}


@pytest.mark.parametrize("attribute", ["started_at", "ended_at", "error"])
async def test_what_only_we_set_is_refused_where_it_cannot_be_sent(
    bench: Bench, attribute: str
) -> None:
    async def handler() -> None:
        step = await cl.Step("step").send()
        setattr(step, attribute, 5)
        with pytest.raises(cl.InvalidArgument, match=f"its {attribute} has a value"):
            await step.update()
        setattr(step, attribute, None)

    assert (await bench.run(handler)).status == "ok"


async def test_the_document_of_a_step_is_this_text(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("search", type="tool", id="one") as step:
            step.output = "found"

    run = await bench.run(handler)
    start, end = await written(bench)
    common = {"id": "one", "session_id": bench.session_id, "run_id": run.run_id, "attempt": 1}
    common |= {"parent_id": None, "name": "search", "type": "tool"}
    head = json.dumps(common, separators=(",", ":"))[:-1]
    shown = (
        '"language":null,"show_input":false,"disable_feedback":true,"default_open":false,'
        '"auto_collapse":false,"icon":null,"tags":[],"metadata":{},"elements":[]'
    )
    began, ended = json.loads(start)["started_at"], json.loads(end)["ended_at"]
    assert start == (
        f'{head},"status":"running","input":"","output":"",'
        f'{shown},"started_at":"{began}","ended_at":null,"error":null,"ts":"{began}"}}'
    )
    assert end == (
        f'{head},"status":"ok","input":"","output":"found",'
        f'{shown},"started_at":"{began}","ended_at":"{ended}","error":null,"ts":"{ended}"}}'
    )

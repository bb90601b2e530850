"""The work of one run, and the outcome that it must have."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import Final, Self

HOSTILE: Final = {
    "exits": frozenset({"error"}),
    "exits_in_a_thread": frozenset({"error"}),
    "swallows_its_cancellation": frozenset({"error"}),
    "strays": frozenset({"error"}),
    "says_a_bad_value": frozenset({"error"}),
    "blocks_a_thread": frozenset({"error"}),
    "drops_generators": frozenset({"ok"}),
    # None is what the original takes.
    "has_no_metadata": frozenset({"ok", "error"}),
}
"""The tasks of ``app.py`` that do what no handler should do, and how a run of each may end."""

DROPPED: Final = "dropped"
"""The name of the steps that ``drops_generators`` leaves to the garbage collector."""

VOCABULARY: Final = ("öl ", "tea ", "\n", '"x" ', "🙂", "\\ ")


@dataclass(frozen=True, slots=True)
class Work:
    seed: int
    tokens: int
    pause_s: float
    blocks: bool = False
    """The handler holds up its event loop while it pauses."""
    fails: bool = False
    parts: int = 0
    """Sub-tasks that it awaits."""

    @classmethod
    def random(cls, chance: random.Random, pace: float) -> Self:
        kind = chance.random()
        return cls(
            seed=chance.randrange(1_000_000),
            tokens=chance.randrange(5, 30),
            pause_s=chance.choice([0.02, 0.06, 0.15]) * pace,
            blocks=kind < 0.15,
            fails=kind > 0.95,
            parts=chance.choice([0, 0, 0, 1, 3]),
        )

    @property
    def words(self) -> list[str]:
        chance = random.Random(self.seed)
        return [chance.choice(VOCABULARY) for _ in range(self.tokens)]

    @property
    def result(self) -> int:
        return random.Random(self.seed + 1).randrange(10**12)

    @property
    def sum_of_parts(self) -> int:
        return sum(part_of(self.seed, number) for number in range(self.parts))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def part_of(seed: int, number: int) -> int:
    """The result that a sub-task must return."""
    return random.Random(seed * 100 + number).randrange(10**6)

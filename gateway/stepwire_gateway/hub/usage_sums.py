"""What the runs and steps of a snapshot have used, added up while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.documents import Usage, UsageSum
from stepwire_core.wire.kinds import RUN, STEP, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST: Final = 2**63
"""Beyond it a step can say nothing, nor can the sum of very many."""


class UsageSums:
    """The sums, from the heads of documents: a run has that of its steps already."""

    def __init__(self) -> None:
        self.total = UsageSum()
        self.of_runs: dict[str, UsageSum] = {}

    def add(self, kind: Kind, id_: str, head: Mapping[str, Any]) -> None:
        """Count a document, if it has used something of its own."""
        told = head.get("usage")
        # Most have used nothing; and a newer version may say it in another way.
        if not isinstance(told, dict) or not (
            kind is RUN or (kind is STEP and head.get("run_id") is None)
        ):
            return
        usage = Usage(
            input_tokens=_number(told, "input_tokens", int),
            output_tokens=_number(told, "output_tokens", int),
            cost=_number(told, "cost", (int, float)),
        )
        if kind is RUN:
            self.of_runs[id_] = UsageSum().plus(usage)
        self.total = self.total.plus(usage)


def _number(told: Mapping[str, Any], name: str, of: type | tuple[type, ...]) -> Any:
    """A number that our own workers may have stored; None: it is something else."""
    value: Any = told.get(name)
    if isinstance(value, of):
        number: Any = value
        if abs(number) <= _MOST:
            return number
    return None

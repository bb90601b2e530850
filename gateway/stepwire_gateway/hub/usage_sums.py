"""What the runs and steps of a snapshot have used, added up while it is written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stepwire_core.wire.documents import Usage, UsageSum
from stepwire_core.wire.kinds import RUN, STEP, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        cost = told.get("cost")
        usage = Usage(
            input_tokens=_whole(told.get("input_tokens")),
            output_tokens=_whole(told.get("output_tokens")),
            cost=cost if isinstance(cost, (int, float)) and math.isfinite(cost) else None,
        )
        if kind is RUN:
            self.of_runs[id_] = UsageSum().plus(usage)
        self.total = self.total.plus(usage)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None

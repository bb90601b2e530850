"""The attempts that this process executes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepwire_core.values.clock import now
from stepwire_core.wire.worker_document import RunningRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepwire_core.wire.run_request import RunRequest


class Activity:
    """The attempts that this process executes; read from another thread."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], RunningRun] = {}

    @contextmanager
    def running(self, request: RunRequest, attempt: int) -> Iterator[None]:
        """The attempt is under way while the block runs."""
        key = (request.run_id, attempt)
        self._runs[key] = RunningRun(
            session_id=request.session_id,
            run_id=request.run_id,
            handler=request.handler,
            attempt=attempt,
            since=now(),
        )
        try:
            yield
        finally:
            del self._runs[key]

    @property
    def runs(self) -> list[RunningRun]:
        # Copied at once: the event loop changes it meanwhile.
        return list(self._runs.values())

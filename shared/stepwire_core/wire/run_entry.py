"""A run as a list shows it: those of an installation, and those of a session that wait."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from stepwire_core.values.json_values import flaw
from stepwire_core.wire.documents import ErrorInfo

RunStatus = Literal["running", "queued", "held", "deferred", "error", "interrupted"]
"""``held``: a limit of its handler or subject holds it back. ``deferred``: it waits for its time.
``error``, ``interrupted``: it has failed for good, and can be retried."""

UNDER_WAY: Final = frozenset[str]({"running", "queued", "held", "deferred"})
FAILED: Final = frozenset[str]({"error", "interrupted"})


def _whole(value: str) -> str:
    if (found := flaw(value)) is not None:
        raise ValueError(found)
    return value


Tag = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_whole)]

Tags = Annotated[list[Tag], Field(max_length=20)]
"""Words by which runs are found again."""


class RunEntry(BaseModel):
    """A run that waits, is executed, or has failed for good."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    session_id: str
    handler: str
    status: Annotated[str, WithJsonSchema({"type": "string", "enum": list(get_args(RunStatus))})]
    """One of :data:`RunStatus`, or a newer version's."""
    subject: str | None = None
    tags: list[str] = []
    priority: int | None = None
    attempt: int | None = None
    """Counted from 1; of one that has failed, how many there were."""
    queued_at: str | None = None
    due_at: str | None = None
    """When a deferred run begins."""
    started_at: str | None = None
    """When its attempt began; None while its worker has only just taken it."""
    ended_at: str | None = None
    error: ErrorInfo | None = None
    worker_id: str | None = None
    host: str | None = None
    pid: int | None = None


WaitsFor = Literal["worker", "turn", "limit", "time", "slot", "start"]
"""``worker``: no worker that takes runs is there. ``turn``: other runs of its session come before
it. ``limit``: its handler or subject has as many runs as it may. ``time``: it is not due yet, at
first or for its next attempt. ``slot``: the workers that are there are busy, or other runs come
before it. ``start``: a worker has taken it, and its attempt is about to begin."""


class WaitingRun(BaseModel):
    """A run that has been accepted, and of which no attempt is under way."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    handler: str | None = Field(default=None, description="null while it is not known.")
    waiting_since: str
    """When it was accepted, or its last attempt ended."""
    waits_for: Annotated[
        str | None,
        WithJsonSchema(
            {"anyOf": [{"type": "string", "enum": list(get_args(WaitsFor))}, {"type": "null"}]}
        ),
    ] = None
    """One of :data:`WaitsFor`, or a newer version's; None: it is not in the queue just now."""
    ahead: int | None = None
    """How many runs go before it: of its session for ``turn``, of the queue for ``slot``."""
    due_at: str | None = None
    """When one that waits for its time is due."""

"""A run of a session that waits for an attempt, and for what."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

WaitsFor = Literal["worker", "turn", "limit", "time", "slot", "start"]
"""``worker``: no worker that takes runs is there. ``turn``: other runs of its session come before
it. ``limit``: its handler or subject has as many runs as it may. ``time``: it is not due yet, at
first or for its next attempt. ``slot``: the workers that are there are busy, or other runs come
before it. ``start``: a worker has taken it, and its attempt is about to begin."""


class WaitingRun(BaseModel):
    """A run that has been accepted, and of which no attempt is under way."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    handler: str | None = Field(default=None, description="null while nobody knows.")
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

"""A worker and its runs, as it describes them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

WorkerState = Literal["ready", "stopping", "blocked", "stalled", "silent"]
"""``stopping``: it takes no more runs. ``blocked``: its event loop has been held up for a whole
lease. ``stalled``: it has room for runs, and Redis has answered none of its requests for a whole
lease. ``silent``: it has missed a renewal, so it is paused, cut off or dead, and vanishes with its
lease."""


class _Document(BaseModel):
    # A field of a newer worker is passed on.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")


class RunningRun(_Document):
    """An attempt that a worker executes."""

    session_id: str
    run_id: str
    handler: str
    attempt: int
    since: str


class WorkerDocument(_Document):
    """A worker process, as it was when it last wrote this."""

    id: str
    host: str
    pid: int
    since: str
    version: str
    handlers: list[str]
    hooks: list[str] = []
    """The functions of its application that are called outside of runs."""
    running: int
    """Slots taken; fewer than ``runs`` while some of these wait for a person."""
    max_jobs: int
    lease_s: float
    state: str
    """One of :data:`WorkerState`, or a newer version's."""
    runs: list[RunningRun] = []
    max_running: dict[str, int] = {}
    """The limits of its handlers: how many runs all workers together execute at a time."""
    left_behind: int = 0
    """Tasks and threads that go on although no caller awaits them, since their code could not be
    stopped. They take no slot."""
    tasks: str | None = None
    """The digest under which the description of its tasks is stored."""

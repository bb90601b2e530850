"""A run as it waits for a worker."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.wire.documents import ElementDocument, JsonObject, StepDocument

Priority = Annotated[int, Field(ge=0, le=9)]
"""The higher goes first. A level counts as much as an hour of waiting, so no run waits for ever."""


class RunRequest(BaseModel):
    """A run that waits for a worker: the argument of the job."""

    session_id: str
    run_id: str
    handler: str
    message: StepDocument | None = None
    elements: list[ElementDocument] = []
    """The files that came with the message."""
    arguments: JsonObject = {}
    parent_id: str | None = None
    """The step under which its own nest, if no message has started it."""
    parent_run_id: str | None = None
    """The run that has started it."""
    retry_of: str | None = None
    """The run whose work it does again."""
    awaited: bool = False
    """Whether a caller waits for its result."""
    user: JsonObject = {}
    """For ``on_chat_end``: what the session, which is gone by then, remembered."""
    subject: str | None = None
    """The subject that has requested it, for the limit on the runs of one subject."""
    priority: Priority = 0
    tags: list[str] = []
    """Words by which lists of runs find it."""
    traceparent: str | None = None
    """The span that has requested it (W3C Trace Context)."""
    due_ms: int | None = None
    """When it was to begin at the earliest, in milliseconds since 1970; None: at once."""


class KeptRequest(BaseModel):
    """What a session keeps of a task that a client has asked for, so that it can be asked for
    again: it is in no event, and not for all who read the session."""

    # A field of a newer version is passed on.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    handler: str
    arguments: JsonObject
    tags: list[str] = []
    sender: str | None = None
    """The subject of the token that it was sent with; None for a backend, whose arguments may be
    nobody else's business."""


MAX_KEPT_BYTES: Final = 65_536
"""Of one request as JSON: what is larger is not kept."""

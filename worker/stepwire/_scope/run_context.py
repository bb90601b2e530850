"""What only a run has, beside its scope: its loop, its slot, its user session."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from stepwire._scope.call_numbers import CallNumbers
from stepwire._scope.thread_calls import Calls
from stepwire._scope.usage_meter import UsageMeter

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from stepwire._transport.signals import Signals
    from stepwire_core.wire.run_request import RunRequest


Resting = Callable[[], AbstractAsyncContextManager[object]]
"""While the block runs, a handler waits for something, and others may have its slot."""


Rename = Callable[[str], Awaitable[Any]]
"""The name to show for the author of a message."""


class Enqueues(Protocol):
    """Hands runs to workers; ``RunQueue`` is the real one."""

    async def enqueue(self, request: RunRequest, /) -> None: ...

    async def has(self, run_id: str, /) -> bool: ...


@dataclass(slots=True)
class RunContext:
    """One attempt of a run, for what its handler does beside showing steps."""

    loop: AbstractEventLoop
    """Where the handler runs."""
    user: dict[str, Any] = field(default_factory=dict)
    """The user session."""
    handed_out: dict[str, str] = field(default_factory=dict)
    """Of its lists and dicts that the handler has, the JSON that is stored of them."""
    signals: Signals | None = None
    """What wakes the handler when a person has answered; None: it has to look."""
    resting: Resting = nullcontext
    """While the block runs, the handler waits for a person and takes no slot in the worker."""
    subject: str | None = None
    """The person or service that has asked for the run, and so for what it enqueues."""
    priority: int = 0
    repeats: str | None = None
    """The message that it answers again."""
    queue: Enqueues | None = None
    """Where tasks go that the handler awaits; None: it has to connect."""
    said: dict[str, Any] = field(default_factory=dict)
    """The messages that it has sent and that ``conversation`` lacks, by id; None: removed."""
    conversation: dict[str, Any] | None = None
    """The messages of the session by id, once the handler has asked for them."""
    rename: Rename | None = None
    """The function that renames the authors of messages; None: they keep their names."""
    calls: Calls = field(default_factory=Calls)
    """The calls of the handler's threads that wait for its loop."""
    durable: CallNumbers = field(default_factory=CallNumbers)
    """The calls of its durable steps."""
    usage: UsageMeter = field(default_factory=UsageMeter)
    """The usage of its steps."""
    sidebar: Lock = field(default_factory=Lock)
    """Held while what the sidebar shows is read and written."""

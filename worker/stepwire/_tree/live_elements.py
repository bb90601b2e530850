"""Elements that are shown anew when they change: lists of tasks, and whatever a front end draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from stepwire._elements.element_base import Element, kind
from stepwire._elements.element_types import JSON_TYPE
from stepwire._scope.context import current_frame
from stepwire._tree.message import Message
from stepwire._values.attributes import refusal
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.ids import check_id

if TYPE_CHECKING:
    from typing import Self
    from uuid import UUID


class LiveElement(Element):
    """An element that clients have as a whole in its document, without bytes."""

    _mime = JSON_TYPE
    _has_bytes = False

    def __init__(self, name: str | None, **options: Any) -> None:
        super().__init__(name, content="", **options)

    async def update(self) -> None:
        """Show it as it is now; it is sent if it has not been.

        Raises:
            InvalidArgument: it is too large (``ValueTooLarge``).
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        if not self._is_sent:
            await self.send()
            return
        scope = current_frame(f"element {self.name!r}").scope
        # There are no bytes to be put in place, so this does not block.
        self._store(scope, self.for_id)
        scope.producer.publish(*self._announcement())
        await scope.producer.room()


class CustomElement(LiveElement):
    """Something that your own front end draws: ``cl.CustomElement(name="Chart", props={"a": 1})``.

    Args:
        name: The name under which your front end knows it.
        props: JSON-able facts, which may be changed and shown anew with :meth:`update`.
        **options: As of :class:`Element`, but for its sources.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or stored.
    """

    type = "custom"

    def __init__(
        self, name: str, *, props: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(name, **options)
        if props is not None and not isinstance(props, Mapping):
            raise InvalidArgument(f"props takes a dict, not {kind(props)}")
        self.props: dict[str, Any] = dict(props or {})

    def _props(self) -> dict[str, Any]:
        return dict(self.props)


class TaskStatus(Enum):
    """How far a :class:`Task` is."""

    READY = "ready"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


@dataclass(slots=True)
class Task:
    """A line of a :class:`TaskList`.

    ``forId`` is the message or step that it is about, or None.
    """

    title: str
    status: TaskStatus = TaskStatus.READY
    forId: str | None = None  # noqa: N815 - the original's name


class TaskList(LiveElement):
    """A list of tasks, with the status of each: one element, which is shown anew as it changes.

    ``tasks`` and ``status``, a word for the whole, may be changed; :meth:`send` and :meth:`update`
    both show it as it is now.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or stored.
    """

    type = "tasklist"

    def __init__(
        self,
        tasks: Sequence[Task] | None = None,
        status: str = "Ready",
        name: str = "tasklist",
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        self.tasks: list[Task] = _checked(tasks if tasks is not None else [])
        self.status = status

    async def add_task(self, task: Task) -> None:
        """Put a task at the end; it is shown with the next :meth:`send` or :meth:`update`.

        Raises:
            InvalidArgument: it is not a :class:`Task`.
        """
        self.tasks.extend(_checked([task]))

    async def send(self, for_id: str | UUID | None = None) -> Self:
        """Show it as it is now.

        The first time it is put with a step or message, as :meth:`Element.send`; if none is
        around the running code, with a message of its own.
        """
        if self._is_sent:
            await self.update()
        elif for_id is None and current_frame("a TaskList").parent_id is None:
            await Message(elements=[self]).send()
        else:
            await super().send(for_id)
        return self

    def _props(self) -> dict[str, Any]:
        if not isinstance(self.status, str):
            raise refusal("status", "task list", "must be a string", self.status)
        return {"status": self.status, "tasks": [_line(task) for task in _checked(self.tasks)]}


def _checked(tasks: object) -> list[Task]:
    if isinstance(tasks, str) or not isinstance(tasks, Sequence):
        raise refusal("tasks", "task list", "must be a list of cl.Task", tasks)
    for task in tasks:
        if not isinstance(task, Task):
            raise InvalidArgument(f"a task of a TaskList is a cl.Task, not {kind(task)}")
    return tasks if isinstance(tasks, list) else list(tasks)


def _line(task: Task) -> dict[str, Any]:
    try:
        status = TaskStatus(task.status)
    except ValueError:
        raise InvalidArgument(
            f"the status of a Task is one of cl.TaskStatus, not {task.status!r}"
        ) from None
    for_id = None if task.forId is None else check_id(task.forId, "step")
    return {"title": str(task.title), "status": status.value, "for_id": for_id}

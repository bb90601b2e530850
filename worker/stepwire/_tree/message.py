"""Messages: the part of the tree that people read as a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import UUID

from stepwire._scope.context import current_frame, own_frame
from stepwire._scope.sync import Emitting, on_loop, run_sync
from stepwire._tree.action import attached, checked_actions, own_actions
from stepwire._tree.node import Node
from stepwire._values.attributes import Checked, flag, text_or_none
from stepwire._values.json_form import jsonable
from stepwire_core.errors import InvalidArgument
from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from stepwire._elements.element_base import Element
    from stepwire._scope.context import Scope
    from stepwire._scope.run_context import Rename
    from stepwire._tree.action import Action
    from stepwire_core.wire.documents import ErrorInfo, StepDocument
    from stepwire_core.wire.events import NewEvent
    from stepwire_core.wire.words import EndStatus

Trigger = Literal["submit", "edit", "regenerate"]


class MessageNode(Node):
    """The common part of messages and questions."""

    _what: ClassVar[str] = "message"

    disable_feedback: Checked[bool, bool | None] = Checked(flag, bool)

    def __init__(
        self,
        content: object = "",
        author: str | None = "Assistant",
        language: str | None = None,
        elements: Sequence[Element] | None = None,
        type: str = ASSISTANT_MESSAGE,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        id: str | UUID | None = None,
        parent_id: str | UUID | None = None,
        disable_feedback: bool | None = None,
    ) -> None:
        super().__init__(
            name="Assistant" if author is None else author,
            type=type,
            id=id,
            parent_id=parent_id,
            metadata=metadata,
            tags=tags,
            language=language,
            elements=elements,
        )
        self.content = content
        self._is_renamed = False
        self.disable_feedback = (
            type == USER_MESSAGE if disable_feedback is None else disable_feedback
        )

    def __str__(self) -> str:
        return self.content

    @property
    def author(self) -> str:
        return self.name

    @author.setter
    def author(self, value: str) -> None:
        self.name = value

    @property
    def content(self) -> str:
        """The text. Takes any value: structures become JSON, others their text."""
        return self._get("output")

    @content.setter
    def content(self, value: object) -> None:
        language = self._set("output", value)
        self.language = self.language or language

    @property
    def created_at(self) -> str | None:
        """When it was sent, in UTC (ISO 8601), or None."""
        return self.started_at

    @property
    def is_error(self) -> bool:
        """Whether it says what went wrong."""
        return self.status == "error"

    def stream_token(self, token: str, is_sequence: bool = False) -> Emitting:
        """Append a piece of text, or replace all of it; as :meth:`Step.stream_token`."""
        if (rename := self._renaming()) is not None:
            if on_loop():
                return Emitting(self._stream_renamed(rename, token, replace=is_sequence))
            # Synchronous code leaves what is returned: nothing may be left to do in it.
            run_sync(self._rename(rename))
        return self._stream(token, "output", replace=is_sequence)

    async def _stream_renamed(self, rename: Rename, token: str, *, replace: bool) -> None:
        await self._rename(rename)
        await self._stream(token, "output", replace=replace)

    def _renaming(self) -> Rename | None:
        """The function that renames its author, if it is not sent yet."""
        if self._scope is not None or self._is_renamed:
            return None
        frame = own_frame()
        return None if frame is None or frame.scope.run is None else frame.scope.run.rename

    async def _rename(self, rename: Rename) -> None:
        self._is_renamed = True
        self.author = await rename(self.author)

    async def remove(self) -> None:
        """Take it away from everywhere, with its elements and all steps below it."""
        await self._remove_with_objects()
        if self._scope is not None and self._scope.run is not None:
            self._scope.run.said[self.id] = None

    async def _say(self, status: EndStatus = "ok", error: ErrorInfo | None = None) -> Scope:
        """Show it, complete, once; the session it belongs to."""
        if (rename := self._renaming()) is not None:
            await self._rename(rename)
        await self._store_elements()
        self._end(status, error)
        scope = self._started()
        if scope.run is not None:
            scope.run.said[self.id] = self
        await scope.producer.room()
        return scope

    def _fields(self, scope: Scope, started_at: str) -> dict[str, Any]:
        fields = super()._fields(scope, started_at)
        fields["disable_feedback"] = self.disable_feedback
        return fields


class Message(MessageNode):
    """A message: ``await cl.Message(content="Hello").send()``.

    ``on_message`` handlers get the person's message as one of these; the files that came with it
    are its ``elements``, each with a ``path`` that can be opened until the run ends. Streamed, it
    appears with its first token and is complete with :meth:`send`.

    Args:
        content: The text; structures become JSON.
        author: The name of the speaker.
        language: How to highlight the content.
        elements: What is shown with it: images, files; see :class:`Element`.
        type: ``assistant_message`` or ``user_message``.
        metadata: JSON-able facts about it.
        tags: Words to filter by.
        id: Its id; by default a fresh one.
        parent_id: What it nests under; by default the enclosing step, else the message that started
            the run.
        disable_feedback: Whether users cannot rate it; by default they can, unless a person said
            it.
        actions: Buttons; a click on one runs its ``@cl.action_callback``, see :class:`Action`.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or stored.
    """

    actions: Checked[list[Action], Sequence[Action] | None] = Checked(checked_actions)

    trigger: Trigger = "submit"
    """Why the handler has it: a person has sent it (``submit``), or has changed an earlier message
    (``edit``: this is the new one), or wants it answered again (``regenerate``). Of the last two
    ``cl.chat_context`` leaves out what they take the place of."""

    def __init__(
        self,
        content: object = "",
        author: str | None = "Assistant",
        language: str | None = None,
        elements: Sequence[Element] | None = None,
        type: str = ASSISTANT_MESSAGE,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        id: str | UUID | None = None,
        parent_id: str | UUID | None = None,
        disable_feedback: bool | None = None,
        actions: Sequence[Action] | None = None,
    ) -> None:
        super().__init__(
            content,
            author,
            language,
            elements,
            type,
            metadata,
            tags,
            id,
            parent_id,
            disable_feedback,
        )
        # A copy: the caller may go on to use what was given.
        self._checked_actions: list[Action] = []
        if actions:
            self.actions = actions[:] if isinstance(actions, list) else actions
        self._shown_actions: dict[str, Action] = {}
        self._new_actions: list[NewEvent] = []

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A message as :meth:`to_dict` has described it, or a step of ``on_chat_resume``'s thread.

        It has the same id: sent, it takes the place of the one with that id. Fields that it does
        not know are passed over.

        Raises:
            InvalidArgument: it is not a dict, lacks a field, or has one with a value that cannot be
                shown or stored.
        """
        if not isinstance(values, Mapping):
            raise InvalidArgument(f"from_dict takes a dict, not {type(values).__name__}")
        if missing := {"id", "name", "output"} - values.keys():
            raise InvalidArgument(f"from_dict takes what to_dict returned; it lacks {min(missing)}")
        known = ("id", "type", "parent_id", "language", "metadata", "tags", "disable_feedback")
        given = {name: values[name] for name in known if name in values}
        message = cls(content=values["output"], author=values["name"], **given)
        message.started_at = text_or_none(values.get("started_at"), "started_at", "message")
        message.status = values.get("status", message.status)
        return message

    def to_dict(self) -> dict[str, Any]:
        """Its fields in JSON's own types, named as in the thread that ``on_chat_resume`` gets; its
        elements are not among them."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "name": self.author,
            "type": self.type,
            "output": self.content,
            "language": self.language,
            "metadata": jsonable(self.metadata),
            "tags": list(self.tags),
            "disable_feedback": self.disable_feedback,
            "status": self.status,
            "started_at": self.started_at,
        }

    async def send(self) -> Self:
        """Show it, complete, with its actions; once, however often it is called."""
        await self._say()
        return self

    async def _say(self, status: EndStatus = "ok", error: ErrorInfo | None = None) -> Scope:
        self._attach_actions()
        return await super()._say(status, error)

    async def update(self) -> None:
        """Show its fields as they are now.

        An element that was taken out of ``elements`` is taken away, with its bytes, and so is an
        action that was taken out of ``actions``.
        """
        if self._scope is None:
            await self.send()
        else:
            await self._store_elements()
            self._attach_actions()
            self._update()
            await self._remove_detached()
            await self._remove_actions_but({action.id for action in self.actions})
            await self._room()

    async def remove_actions(self) -> None:
        """Take all its buttons away."""
        self.actions = []
        await self._remove_actions_but(set())

    def _attach_actions(self) -> None:
        """Make its new actions buttons, which the next event of it brings along."""
        if not self.actions:
            return
        self.actions = own_actions(self.actions, self.id)
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        for action in self.actions:
            if action.for_id is None:
                self._new_actions.append(attached(action, self.id, scope))
            self._shown_actions[action.id] = action

    async def _remove_actions_but(self, kept: set[str]) -> None:
        for action in [one for id_, one in self._shown_actions.items() if id_ not in kept]:
            del self._shown_actions[action.id]
            await action.remove()

    def _announcements(self) -> list[NewEvent]:
        actions, self._new_actions = self._new_actions, []
        return [*super()._announcements(), *actions]


class ErrorMessage(Message):
    """A message that says what went wrong: ``await cl.ErrorMessage(content="No such
    order").send()``.

    A message whose ``status`` is ``error``. A handler that raises sends one by itself.
    """

    def __init__(self, content: object = "", author: str = "Error", **options: Any) -> None:
        super().__init__(content, author, **options)

    async def send(self) -> Self:
        """Show it, complete; once, however often it is called."""
        from stepwire_core.wire.documents import ErrorInfo

        await self._say("error", ErrorInfo(type="ErrorMessage", message=self.content))
        return self


class ReceivedMessage(Message):
    """The message that started a run; it is in the log already."""

    def __init__(
        self,
        document: StepDocument,
        scope: Scope,
        elements: Sequence[Element] = (),
        trigger: Trigger = "submit",
    ) -> None:
        super().__init__(
            content=document.output,
            author=document.name,
            language=document.language,
            elements=elements,
            type=document.type,
            metadata=document.metadata,
            tags=document.tags,
            id=document.id,
            parent_id=document.parent_id,
        )
        self.trigger = trigger
        self._scope = scope
        self._checked_status = document.status
        self.started_at = self._began_at = document.started_at
        self.ended_at = self._over_at = document.ended_at


class FailureMessage(ErrorMessage):
    """The message that tells a person that a handler has failed."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message or error.type)
        self._told = error

    def show(self) -> None:
        """Show it, complete; never waits.

        Raises: as :meth:`Producer.publish`.
        """
        self._end("error", self._told)

"""Actions: what a person can choose from, as buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stepwire._scope.context import current_frame
from stepwire._values.attributes import list_of
from stepwire._values.json_form import jsonable
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.clock import now
from stepwire_core.values.ids import check_id, new_id
from stepwire_core.wire.events import action_event, action_remove_event

if TYPE_CHECKING:
    from uuid import UUID

    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import ActionDocument
    from stepwire_core.wire.events import NewEvent


@dataclass(frozen=True, slots=True)
class Action:
    """A button: of a message, where a click runs its ``@cl.action_callback``, or of an
    :class:`AskActionMessage`, which it answers.

    Args:
        name: The name that your code uses.
        payload: JSON-able facts that come back with it.
        label: The text of the button; by default the name.
        tooltip: The text that shows when a person points at it.
        icon: Name of an icon.
        id: Its id; by default a fresh one.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or stored.
    """

    name: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    tooltip: str = ""
    icon: str | None = None
    id: str = field(default_factory=new_id)
    _for_id: str | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for what in ("name", "label", "tooltip", "icon"):
            value = getattr(self, what)
            if not (isinstance(value, str) or (what == "icon" and value is None)):
                raise InvalidArgument(
                    f"the {what} of an Action is text, not {type(value).__name__}"
                )
        if not self.name:
            raise InvalidArgument("an Action needs a name: cl.Action(name='continue', …)")
        if not isinstance(self.payload, Mapping):
            raise InvalidArgument(
                f"the payload of an Action is a dict, not {type(self.payload).__name__}: "
                "cl.Action(name='continue', payload={'value': …})"
            )
        # Frozen for users; a UUID becomes the text that clients know it by.
        object.__setattr__(self, "id", check_id(self.id, "action"))

    @property
    def for_id(self) -> str | None:
        """The message or step that has it, or None."""
        return self._for_id

    @property
    def forId(self) -> str | None:  # noqa: N802 - the original's name
        return self._for_id

    async def send(self, for_id: str | UUID) -> None:
        """Show it with the message or step of that id, which was sent before.

        Raises:
            InvalidId: ``for_id`` is not an id.
            NoActiveSession: outside any session.
        """
        scope = current_frame(f"action {self.name!r}").scope
        scope.producer.publish(attached(self, check_id(for_id, "step"), scope))
        await scope.producer.room()

    async def remove(self) -> None:
        """Take the button away for all; again, or before it was sent, changes nothing.

        Raises:
            NoActiveSession: outside any session.
        """
        if self._for_id is None:
            return
        producer = current_frame(f"action {self.name!r}").scope.producer
        producer.publish(action_remove_event(self.id))
        await producer.room()


def attached(action: Action, step_id: str, scope: Scope) -> NewEvent:
    """The event that makes it a button of a step."""
    from stepwire_core.wire.documents import StepActionDocument

    object.__setattr__(action, "_for_id", step_id)
    document = StepActionDocument(
        **dict(option(action)),
        session_id=scope.session_id,
        run_id=scope.run_id or None,
        step_id=step_id,
        ts=now(),
    )
    return action_event(document)


def option(action: Action) -> ActionDocument:
    """The document that clients get of it, wherever it is offered."""
    from stepwire_core.wire.documents import ActionDocument

    return ActionDocument(
        id=str(action.id),
        name=action.name,
        label=action.label or action.name,
        tooltip=action.tooltip,
        icon=action.icon,
        payload=jsonable(dict(action.payload)),
    )


def clicked(arguments: Mapping[str, Any]) -> Action:
    """The action that a callback gets, from the arguments of its run."""
    from stepwire_core.wire.documents import ActionDocument, StepActionDocument

    document = StepActionDocument.model_validate(arguments)
    known = {name: getattr(document, name) for name in ActionDocument.model_fields}
    action = Action(**known)
    object.__setattr__(action, "_for_id", document.step_id)
    return action


def own_actions(actions: Sequence[Action], step_id: str) -> list[Action]:
    """``actions``, with a copy of each that another message has.

    Raises:
        InvalidArgument: something else was put into the list, or one id is there twice.
    """
    own = [
        action if action.for_id in (None, step_id) else replace(action, id=new_id())
        for action in checked_actions(actions, "actions", "message")
    ]
    require_distinct(own)
    return own


def require_distinct(actions: Sequence[Action]) -> None:
    """Return when no two have one id.

    Raises:
        InvalidArgument: two have.
    """
    if len({action.id for action in actions}) < len(actions):
        raise InvalidArgument("two actions have the same id: give each an id of its own, or no id")


def checked_actions(value: object, name: str, noun: str) -> list[Action]:
    """As :func:`list_of`."""
    return list_of(Action, "an action is a cl.Action", value, name, noun)

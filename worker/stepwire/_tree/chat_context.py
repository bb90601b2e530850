"""The conversation as models read it: ``cl.chat_context``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stepwire._scope.context import current_frame
from stepwire._scope.user_session import CHAT_CONTEXT
from stepwire._tree.message import Message, MessageNode, ReceivedMessage
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.clock import now
from stepwire_core.values.json_values import encoded
from stepwire_core.wire.events import user_value_event
from stepwire_core.wire.words import ASSISTANT_MESSAGE, REPLACES, USER_MESSAGE

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import StepDocument

_WHAT: Final = "chat_context"
_ROLES: Final = {ASSISTANT_MESSAGE: "assistant", USER_MESSAGE: "user"}


class ChatContext:
    """``cl.chat_context``: the messages of the session, for the next call of a model.

    They are the messages that the session shows, in their order, whichever worker has sent them:
    those of people, up to the message that is being answered, and those of handlers, but no error
    messages, and none from an earlier attempt of the same run. Where a person has changed a
    message, or has had one answered again (:attr:`Message.trigger`), the conversation goes on from
    there: what was said before in its place is left out. The changes made by :meth:`add`,
    :meth:`remove` and :meth:`clear` are kept with the session; users do not see them.

    The first use in a run reads the session, and blocks the calling thread for that, which takes a
    round trip for each 500 steps. Messages that other runs send later do not appear in that run.

    Every method raises :class:`NoActiveSession` outside any handler, and
    :class:`StoreUnavailable` if Redis does not answer.
    """

    def get(self) -> list[Message]:
        """The messages, oldest first; the list is the caller's own."""
        return list(_messages(_scope()).values())

    def to_openai(self) -> list[Any]:
        """The messages in the form that OpenAI's API, and every API like it, takes.

        A dict has ``role`` (``assistant``, ``user``, or ``system`` for any other type of message)
        and ``content``.
        """
        return [
            {"role": _ROLES.get(message.type, "system"), "content": message.content}
            for message in self.get()
        ]

    def add(self, message: Message) -> Message:
        """Put a message at the end that is not shown, such as a system prompt; or put one back.

        A message that is sent is there by itself, and one that is there stays where it is.

        Raises:
            InvalidArgument: it is not a message, or it is too large (``ValueTooLarge``).
        """
        scope, id_ = _scope(), _id_of(message)
        if id_ not in _messages(scope):
            changes = _Changes(scope)
            if id_ in changes.removed:
                changes.removed.remove(id_)
            else:
                last = next(reversed(_messages(scope, removed_too=True)), None)
                changes.added.append({"after": last, "message": message.to_dict()})
            changes.store()
        return message

    def remove(self, message: Message) -> bool:
        """Leave a message out from now on, which stays visible; whether it was there.

        Raises:
            InvalidArgument: it is not a message.
        """
        scope, id_ = _scope(), _id_of(message)
        if id_ not in _messages(scope):
            return False
        changes = _Changes(scope)
        kept = [item for item in changes.added if item["message"]["id"] != id_]
        if len(kept) == len(changes.added):
            changes.removed.append(id_)
        changes.added = kept
        changes.store()
        return True

    def clear(self) -> None:
        """Leave out all messages so far."""
        scope = _scope()
        changes = _Changes(scope)
        changes.added = []
        changes.removed = list(_shown(scope))
        changes.store()


class _Changes:
    """The changes of handlers, as the session keeps them."""

    def __init__(self, scope: Scope) -> None:
        kept = scope.require_run(_WHAT).user.get(CHAT_CONTEXT) or {}
        self._scope = scope
        self.removed: list[str] = list(kept.get("removed", ()))
        self.added: list[dict[str, Any]] = list(kept.get("added", ()))

    def store(self) -> None:
        """Keep them; what the session no longer shows need not be left out."""
        shown = _shown(self._scope)
        removed = [id_ for id_ in self.removed if id_ in shown]
        text = encoded({"removed": removed, "added": self.added})
        self._scope.producer.publish(user_value_event(CHAT_CONTEXT, text))
        self._scope.require_run(_WHAT).user[CHAT_CONTEXT] = json.loads(text)
        self._scope.producer.room_sync()


def _messages(scope: Scope, *, removed_too: bool = False) -> dict[str, Message]:
    """The messages by their ids, in order."""
    changes, shown = _Changes(scope), _shown(scope)
    order = list(shown)
    added: dict[str, Message] = {}
    for item in changes.added:
        message = Message.from_dict(item["message"])
        if message.id not in shown:
            place = order.index(item["after"]) + 1 if item["after"] in order else 0
            order.insert(place, message.id)
            added[message.id] = message
    left_out = () if removed_too else set(changes.removed)
    both = shown | added
    return {id_: both[id_] for id_ in order if id_ not in left_out}


def _shown(scope: Scope) -> dict[str, Message]:
    """The messages that the session shows: those of earlier runs, and those of this one."""
    run = scope.require_run(_WHAT)
    if run.conversation is None:
        run.conversation = {
            step.id: ReceivedMessage(step, scope) for step in _relevant(scope, _stored(scope))
        }
    for id_ in list(run.said):
        # One by one: others may say something meanwhile.
        node = run.said.pop(id_)
        if node is None or node.status == "error":
            run.conversation.pop(id_, None)
        else:
            run.conversation[id_] = _as_message(node, scope)
    return dict(run.conversation)


def _stored(scope: Scope) -> tuple[list[StepDocument], dict[str, str]]:
    producer = scope.producer
    return producer.calls.messages(producer.session_id)


def _relevant(
    scope: Scope, stored: tuple[list[StepDocument], dict[str, str]]
) -> list[StepDocument]:
    messages, begun = stored
    answered = False
    found: list[StepDocument] = []
    repeating: set[str | None] = set()
    for step in messages:
        is_ours = step.run_id == scope.run_id
        waits = answered or step.run_id not in begun
        if step.status in ("running", "error"):
            continue
        if step.type == USER_MESSAGE:
            # Others wait for the run of their own.
            if not is_ours and step.run_id is not None and waits:
                continue
            _drop_from(found, step.metadata.get(REPLACES))
        elif is_ours and step.attempt != scope.attempt:
            continue
        elif (again := begun.get(step.run_id or "")) and step.run_id not in repeating:
            repeating.add(step.run_id)
            _drop_after(found, again, step.run_id)
        found.append(step)
        # A step that was clicked, or that a task stands under, is not a message of a person.
        answered = answered or (step.type == USER_MESSAGE and step.id == scope.default_parent_id)
    # Of this run the beginning may not be stored yet.
    if scope.run_id not in repeating and (again := scope.require_run(_WHAT).repeats):
        _drop_after(found, again, scope.run_id)
    return found


def _drop_from(messages: list[StepDocument], replaced: object) -> None:
    """The person has changed a message: it and all that came after it were not said. One that was
    changed before is known by the id of its first version."""
    for at, step in enumerate(messages):
        if replaced is not None and replaced in (step.id, step.metadata.get(REPLACES)):
            del messages[at:]
            return


def _drop_after(messages: list[StepDocument], message_id: str, run_id: str | None) -> None:
    """A message is answered again: what came after it was not said. One that was sent in other
    words has a run of its own, and is no repetition of this."""
    for at, step in enumerate(messages):
        if step.id == message_id and step.run_id != run_id:
            del messages[at + 1 :]
            return


def _as_message(node: MessageNode, scope: Scope) -> Message:
    """A question is a message, too, for the reader of the conversation."""
    from stepwire_core.wire.documents import StepDocument

    if isinstance(node, Message):
        return node
    ts = now()
    document = StepDocument(
        id=node.id,
        session_id=scope.session_id,
        run_id=scope.run_id,
        attempt=scope.attempt,
        parent_id=node.parent_id,
        name=node.author,
        type=node.type,
        status=node.status,
        output=node.content,
        language=node.language,
        started_at=node.started_at or ts,
        ended_at=node.ended_at,
        ts=ts,
    )
    return ReceivedMessage(document, scope)


def _id_of(message: object) -> str:
    if not isinstance(message, Message):
        raise InvalidArgument(f"chat_context takes a cl.Message, not {type(message).__name__}")
    return str(message.id)


def _scope() -> Scope:
    return current_frame(_WHAT).scope


chat_context: ChatContext = ChatContext()
"""The messages of the session, for the next call of a model."""

"""Messages that ask the person something, and handlers that wait for the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from stepwire._asking.question import Question
from stepwire._elements.received_files import fetch
from stepwire._transport.threads import in_thread
from stepwire._tree.action import checked_actions, option, require_distinct
from stepwire._tree.live_elements import CustomElement
from stepwire._tree.message import MessageNode, ReceivedMessage
from stepwire_core.errors import ElementNotFound, InvalidArgument
from stepwire_core.values.clock import after, now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.words import ASSISTANT_MESSAGE, AskKind

if TYPE_CHECKING:
    from stepwire._elements.element_base import Element
    from stepwire._scope.context import Scope
    from stepwire._tree.action import Action
    from stepwire_core.wire.documents import AskDocument

MEGABYTE: Final = 1024 * 1024

_MOST: Final = 1_000_000_000
"""Of seconds, about thirty years: dates end, and no parser takes more."""

A = TypeVar("A")


class _Ask(MessageNode, Generic[A]):
    """A message that waits for an answer when it is sent."""

    _kind: ClassVar[AskKind]

    def __init__(
        self,
        content: object,
        author: str,
        type: str,
        timeout: float,
        raise_on_timeout: bool,
        elements: Sequence[Element] = (),
    ) -> None:
        super().__init__(content, author, type=type, elements=elements)
        self.timeout: float = _positive(timeout, "timeout", "seconds")
        self.raise_on_timeout = raise_on_timeout

    async def send(self) -> A | None:
        """Ask, and wait for the answer.

        The question outlives reloads, lost connections and gateways; while it waits, the handler
        takes no place of the worker's ``STEPWIRE_MAX_JOBS`` and holds no connection.

        Returns:
            The answer; None when ``timeout`` seconds have passed without one.

        Raises:
            TimeoutError: instead of None, with ``raise_on_timeout``.
            asyncio.CancelledError: the run was cancelled: nobody can answer any more.
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        scope = await self._say()
        ask = await Question(scope, self._asked(scope)).answered(self.timeout)
        await self._over()
        if ask is not None and ask.answer is not None:
            return await self._answer(scope, ask)
        if self.raise_on_timeout:
            raise TimeoutError(f"{self.content[:80]!r} was not answered within {self.timeout:g} s")
        return None

    def _asked(self, scope: Scope) -> AskDocument:
        from stepwire_core.wire.documents import AskDocument

        return AskDocument(
            id=new_id(),
            session_id=scope.session_id,
            run_id=scope.run_id or None,
            attempt=scope.attempt,
            step_id=self.id,
            kind=self._kind,
            expires_at=after(self.timeout),
            started_at=(ts := now()),
            ts=ts,
        )

    async def _over(self) -> None:
        """Clear up when no answer is waited for any more."""

    async def _answer(self, _scope: Scope, ask: AskDocument, /) -> A | None:
        raise NotImplementedError


class AskUserMessage(_Ask[dict[str, Any]]):
    """Ask for a text: ``answer = await cl.AskUserMessage(content="Your name?").send()``.

    The answer is the person's message, which nests under the question, as a dict with the fields of
    a step: ``answer["output"]`` is the text.

    Args:
        content: The question.
        author: The name of the asker.
        type: ``assistant_message``, or another kind of step.
        timeout: Seconds to wait.
        raise_on_timeout: Raise TimeoutError instead of returning None.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or used.
    """

    _kind = "text"

    def __init__(
        self,
        content: object,
        author: str = "Assistant",
        type: str = ASSISTANT_MESSAGE,
        timeout: float = 60,
        raise_on_timeout: bool = False,
    ) -> None:
        super().__init__(content, author, type, timeout, raise_on_timeout)

    async def _answer(self, scope: Scope, ask: AskDocument, /) -> dict[str, Any] | None:
        from stepwire_core.wire.documents import StepDocument

        [message] = await scope.producer.state([f"s:{ask.answer and ask.answer.message_id}"])
        if message is None:
            # It was removed meanwhile.
            return None
        ids = {"id_": str(ask.answer and ask.answer.message_id), "session_id": scope.session_id}
        step = readable(StepDocument, message, "step", **ids)
        if step is None:
            return None
        if scope.run is not None:
            scope.run.said[step.id] = ReceivedMessage(step, scope)
        return step.model_dump()


class AskActionMessage(_Ask[dict[str, Any]]):
    """Offer some actions: ``answer = await cl.AskActionMessage(content="Go on?",
    actions=[cl.Action(name="yes"), cl.Action(name="no")]).send()``.

    The answer is the chosen action as a dict: ``answer["name"]``, ``answer["payload"]``, and its
    ``id``, ``label``, ``tooltip``, ``icon``.

    Args:
        content: The question.
        actions: What one can choose from; at least one.
        author: The name of the asker.
        timeout: Seconds to wait.
        raise_on_timeout: Raise TimeoutError instead of returning None.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or used.
    """

    _kind = "action"

    def __init__(
        self,
        content: object,
        actions: Sequence[Action],
        author: str = "Assistant",
        timeout: float = 90,
        raise_on_timeout: bool = False,
    ) -> None:
        super().__init__(content, author, ASSISTANT_MESSAGE, timeout, raise_on_timeout)
        self.actions: list[Action] = _checked_actions(actions)

    def _asked(self, scope: Scope) -> AskDocument:
        actions = [option(action) for action in self.actions]
        return super()._asked(scope).model_copy(update={"actions": actions})

    async def _answer(self, _scope: Scope, ask: AskDocument, /) -> dict[str, Any] | None:
        chosen = ask.answer and ask.answer.action_id
        # None: a newer version has answered with an option that this one did not offer.
        return next((item.model_dump() for item in ask.actions if item.id == chosen), None)


@dataclass(frozen=True, slots=True)
class AskFileResponse:
    """A file that a person has sent; ``path`` can be opened until the run ends."""

    id: str
    name: str
    path: Path
    size: int
    """In bytes."""
    type: str
    """Its media type."""


class AskFileMessage(_Ask[list[AskFileResponse]]):
    """Ask for files: ``files = await cl.AskFileMessage(content="Your text?",
    accept=["text/plain"]).send()``.

    Args:
        content: The question.
        accept: Media types (``image/png``, ``image/*``) and file extensions (``.py``) that will do;
            or a dict of media types, each with its extensions.
        max_size_mb: Of each file, in units of 1024 * 1024 bytes; the gateways have a limit of their
            own, ``STEPWIRE_ELEMENTS_MAX_BYTES``.
        max_files: How many at most.
        author: The name of the asker.
        type: ``assistant_message``, or another kind of step.
        timeout: Seconds to wait.
        raise_on_timeout: Raise TimeoutError instead of returning None.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or used.
    """

    _kind = "file"

    def __init__(
        self,
        content: object,
        accept: Sequence[str] | Mapping[str, Sequence[str]],
        max_size_mb: float = 2,
        max_files: int = 1,
        author: str = "Assistant",
        type: str = ASSISTANT_MESSAGE,
        timeout: float = 90,
        raise_on_timeout: bool = False,
    ) -> None:
        super().__init__(content, author, type, timeout, raise_on_timeout)
        self.accept: list[str] = _checked_accept(accept)
        self.max_bytes: int = int(_positive(max_size_mb, "max_size_mb", "megabytes") * MEGABYTE)
        self.max_files: int = int(_positive(max_files, "max_files", "files"))

    def _asked(self, scope: Scope) -> AskDocument:
        update = {
            "accept": self.accept,
            "max_bytes": self.max_bytes,
            "max_files": self.max_files,
        }
        return super()._asked(scope).model_copy(update=update)

    async def _answer(self, scope: Scope, ask: AskDocument, /) -> list[AskFileResponse] | None:
        from stepwire_core.wire.documents import ElementDocument

        ids = ask.answer.elements if ask.answer else []
        documents = []
        for id_, value in zip(
            ids, await scope.producer.state([f"e:{id_}" for id_ in ids]), strict=True
        ):
            document = value and readable(
                ElementDocument, value, "element", id_, session_id=scope.session_id
            )
            if not document:
                raise ElementNotFound(scope.session_id, id_)
            documents.append(document)
        files = await in_thread(fetch, scope, documents) if documents else []
        return [
            AskFileResponse(
                id=document.id,
                name=document.name,
                path=file.path or Path(),
                size=document.size or 0,
                type=document.mime,
            )
            for document, file in zip(documents, files, strict=True)
        ]


class AskElementMessage(_Ask[dict[str, Any]]):
    """Let a page draw an element, and wait until the person has submitted it: ``answer = await
    cl.AskElementMessage(content="Your address?", element=cl.CustomElement("Form")).send()``.

    The answer is a dict: ``submitted``, which is False if the person has cancelled, and what the
    element says. The element is taken away when it is answered, or nobody waits for it any more.

    Args:
        content: The question.
        element: What the page draws.
        author: The name of the asker.
        timeout: Seconds to wait.
        raise_on_timeout: Raise TimeoutError instead of returning None.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or used.
    """

    _kind = "element"

    def __init__(
        self,
        content: object,
        element: CustomElement,
        author: str = "Assistant",
        timeout: float = 90,
        raise_on_timeout: bool = False,
    ) -> None:
        if not isinstance(element, CustomElement):
            raise InvalidArgument(
                f"element takes a cl.CustomElement, not {type(element).__name__}: only a page of "
                "your own knows how it is answered"
            )
        super().__init__(
            content, author, ASSISTANT_MESSAGE, timeout, raise_on_timeout, elements=[element]
        )
        self.element: CustomElement = element

    def _asked(self, scope: Scope) -> AskDocument:
        # As it was sent: one that another message shows is sent here as a copy.
        [shown] = self.elements
        return super()._asked(scope).model_copy(update={"element_id": shown.id})

    async def _over(self) -> None:
        for shown in list(self.elements):
            await shown.remove()

    async def _answer(self, _scope: Scope, ask: AskDocument, /) -> dict[str, Any] | None:
        given = None if ask.answer is None else ask.answer.submission
        return None if given is None else dict(given.props) | {"submitted": given.submitted}


def _positive(value: object, what: str, unit: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= _MOST:
        raise InvalidArgument(
            f"{what} takes a number of {unit} above zero and at most {_MOST:,}, not {value!r}"
        )
    return float(value)


def _checked_actions(actions: object) -> list[Action]:
    if not isinstance(actions, Sequence) or not actions:
        raise InvalidArgument("AskActionMessage takes a list of actions, at least one")
    checked = checked_actions(actions, "actions", "question")
    require_distinct(checked)
    return list(checked)


def _checked_accept(accept: object) -> list[str]:
    if isinstance(accept, Mapping):
        accept = [*accept, *(item for items in accept.values() for item in items)]
    if not isinstance(accept, Sequence) or isinstance(accept, str) or not accept:
        raise InvalidArgument(
            "accept takes a list of media types and extensions, such as ['text/plain', '.py']"
        )
    for item in accept:
        if not isinstance(item, str) or not (item.startswith(".") or "/" in item):
            raise InvalidArgument(
                f"accept: {item!r} is neither a media type (image/*) nor a file extension (.png)"
            )
    return list(accept)

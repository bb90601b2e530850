"""The step: a context manager that shows a piece of work, live."""

from __future__ import annotations

import asyncio
import logging
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from stepwire._scope.context import Frame, Scope, enter_frame, leave_frame
from stepwire._tree.durable_work import DurableWork
from stepwire._values.attributes import Checked, flag, flag_or_text, text_or_none
from stepwire._values.generation import Generation, generation_or_none
from stepwire._values.tracebacks import described
from stepwire_core.errors import InvalidArgument, StepwireError
from stepwire_core.wire.words import EndStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token
    from types import TracebackType
    from typing import Self

    from stepwire._elements.element_base import Element
    from stepwire._scope.sync import Emitting
    from stepwire_core.wire.documents import ErrorInfo

logger = logging.getLogger("stepwire.step")


class Step(DurableWork):
    """A piece of work that users see live: ``async with cl.Step(name="search", type="tool") as
    step:``.

    It is sent when the block is entered and ended when the block is left: with status ``ok``, with
    ``error`` if an exception leaves the block, with ``cancelled`` on a cancellation; the exception
    goes on. What was streamed stays. It nests under the step around it, else under the message that
    started the run. ``with`` works too, in synchronous code and in any thread that has the context.
    Each block takes a step of its own: entering one again, after its block or inside it, raises.

    Entering and leaving wait while the process's buffer is full (``STEPWIRE_BUFFER_BYTES``): with
    ``async with`` the task does, with ``with`` the thread, even that of an event loop, which then
    stands still for as long. A block that an exception other than an ``Exception`` leaves (a
    cancellation, the end of a generator that nobody reads on) is ended without waiting.

    Args:
        name: What users see; by default the type.
        type: ``undefined``, ``run``, ``tool``, ``llm``, ``embedding``, ``retrieval``, ``rerank``,
            or any
            other word.
        id: Its id; by default a fresh one.
        parent_id: The id of the step to nest under, instead of the enclosing one.
        elements: What is shown with it: images, files; see :class:`Element`. Those that are
            appended to ``step.elements`` later are shown when the step ends, or after
            :meth:`update`.
        metadata: JSON-able facts about it.
        tags: Words to filter by.
        language: How to highlight the output; by default ``json`` for structures.
        icon: Name of an icon.
        show_input: Whether users see the input, or the language to highlight it in.
        default_open: Whether it is shown unfolded.
        auto_collapse: Whether it folds when it ends.
        root: Nest under nothing.
        disable_feedback: Whether users cannot rate it.
        key: What this work is called in its run. The :attr:`result` of a block with a key that ends
            well is stored, and a later attempt of the run has it instead of doing the work again::

                async with cl.Step("search", key="search") as step:
                    if not step.is_reused:
                        step.result = await search()
                hits = step.result

            Blocks of one key are told apart by their order: the second one has what the second one
            has stored. Where that may differ from attempt to attempt, as in tasks that race, give
            each a key of its own.

    Raises:
        InvalidArgument: a parameter has a value that cannot be shown or stored; when entered, that
            it was entered before.
    """

    _what: ClassVar[str] = "step"

    icon: Checked[str | None, str | None] = Checked(text_or_none, str, NoneType, default=None)
    show_input: Checked[bool | str, bool | str | None] = Checked(
        flag_or_text, bool, str, default=False
    )
    default_open: Checked[bool, bool | None] = Checked(flag, bool, default=False)
    auto_collapse: Checked[bool, bool | None] = Checked(flag, bool, default=False)
    disable_feedback: Checked[bool, bool | None] = Checked(flag, bool, default=True)
    generation: Checked[Generation | None, Generation | None] = Checked(
        generation_or_none, default=None
    )

    def __init__(
        self,
        name: str | None = None,
        type: str = "undefined",
        id: str | UUID | None = None,
        parent_id: str | UUID | None = None,
        elements: Sequence[Element] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        language: str | None = None,
        icon: str | None = None,
        show_input: bool | str | None = False,
        default_open: bool | None = False,
        auto_collapse: bool | None = False,
        root: bool | None = False,
        disable_feedback: bool | None = True,
        key: str | None = None,
    ) -> None:
        super().__init__(
            name=type if name is None else name,
            type=type,
            id=id,
            parent_id=parent_id,
            metadata=metadata,
            tags=tags,
            language=language,
            elements=elements,
        )
        # The class has the defaults already; only other values are checked.
        if icon is not None:
            self.icon = icon
        if show_input is not False:
            self.show_input = show_input
        if default_open is not False:
            self.default_open = default_open
        if auto_collapse is not False:
            self.auto_collapse = auto_collapse
        self.root: bool = root is not False and flag(root, "root", "step")
        if disable_feedback is not None and disable_feedback is not True:
            self.disable_feedback = disable_feedback
        if key is not None:
            self.key = key
        self._entered = False
        self._token: Token[Frame | None] | None = None

    def _facts(self) -> dict[str, Any]:
        generation = self.generation
        if generation is None:
            return self.metadata
        return {**self.metadata, "generation": generation.to_dict()}

    @property
    def input(self) -> str:
        """What it works on. Takes any value: structures become JSON, others their text."""
        return self._get("input")

    @input.setter
    def input(self, value: object) -> None:
        self._set("input", value)

    @property
    def output(self) -> str:
        """What came out. Takes any value: structures become JSON, others their text.

        Users see a value that is set here when the step ends, or after :meth:`update`.
        """
        return self._get("output")

    @output.setter
    def output(self, value: object) -> None:
        language = self._set("output", value)
        self.language = self.language or language

    def stream_token(
        self, token: str, is_sequence: bool = False, is_input: bool = False
    ) -> Emitting:
        """Append a piece of text to the output; users see it at once.

        Asynchronous code awaits it. Synchronous code calls it alone, in a thread or a script.
        Returns when the text is buffered, without a round trip; waits only while the process's
        buffer is full. An empty token does nothing. Sends the step if it has not been sent.

        Args:
            token: The text.
            is_sequence: The text is the whole so far and replaces what is there.
            is_input: Stream into the input instead.

        Raises:
            InvalidArgument: ``token`` is not text.
            NoActiveSession: outside any session.
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: nothing more can be stored.
        """
        return self._stream(token, "input" if is_input else "output", replace=is_sequence)

    async def send(self) -> Self:
        """Show it now, without a ``with`` block; once, however often it is called.

        It ends with the run, or by :meth:`update` after its block.
        """
        await self._store_elements()
        self._started()
        await self._room()
        return self

    async def update(self) -> None:
        """Show its fields as they are now; also after it has ended.

        An element that was taken out of ``elements`` is taken away, with its bytes.
        """
        await self._store_elements()
        self._update()
        await self._remove_detached()
        await self._room()

    async def remove(self) -> None:
        """Take it away from everywhere, with its elements and all steps below it."""
        await self._remove_with_objects()

    # A step is made, entered and left by the thousand: without context managers inside, which take
    # as long as the rest.

    async def __aenter__(self) -> Self:
        self._require_new()
        try:
            if self.elements:
                await self._store_elements()
            if (call := self._call()) is not None:
                self._reuse(await call.find())
            self._token = self._enter()
            if self._must_wait:
                await self._room()
        except BaseException as error:
            self._not_entered(error)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave_frame()
        complete = exc is None or isinstance(exc, Exception)
        try:
            if complete and self.elements:
                await self._store_elements()
        except BaseException as error:
            self._leave(exc or error)
            if exc is None or not isinstance(error, Exception):
                raise
            self._report_unattached(error)
        else:
            self._leave(exc)
        if self._has_stored and self._scope is not None:
            await self._scope.producer.flush()
        if complete and self._must_wait:
            await self._room()

    def __enter__(self) -> Self:
        self._require_new()
        try:
            if self.elements:
                self._store_elements_sync()
            if (call := self._call()) is not None:
                self._reuse(call.find_sync())
            self._token = self._enter()
            if self._must_wait:
                self._room_sync()
        except BaseException as error:
            self._not_entered(error)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave_frame()
        complete = exc is None or isinstance(exc, Exception)
        try:
            if complete and self.elements:
                self._store_elements_sync()
        except BaseException as error:
            self._leave(exc or error)
            if exc is None or not isinstance(error, Exception):
                raise
            self._report_unattached(error)
        else:
            self._leave(exc)
        if self._has_stored and self._scope is not None:
            self._scope.producer.flush_sync()
        if complete and self._must_wait:
            self._room_sync()

    def _require_new(self) -> None:
        """It is entered once, unless that fails: an end cannot be taken back, and an inner block
        would bring it."""
        if self._entered:
            raise InvalidArgument(
                f"step {self.name!r} has been entered before: a step is one block; make another "
                "cl.Step for the next one"
            )
        self._entered = True

    def _not_entered(self, error: BaseException) -> None:
        if self._token is None:
            self._entered = False
            self._give_back()
        else:
            # Cancelled while it waited for room: the block that would end it does not begin.
            self._leave_frame()
            self._leave(error)

    def _leave_frame(self) -> None:
        if self._token is not None:
            leave_frame(self._token)
            self._token = None

    def _report_unattached(self, error: BaseException) -> None:
        # Raised from its block it would hide the exception that is under way.
        logger.warning("an element could not be stored", extra={"step_id": self.id}, exc_info=error)

    def _enter(self) -> Token[Frame | None]:
        return enter_frame(Frame(self._started(), self))

    def _leave(self, exc: BaseException | None) -> None:
        try:
            self._end_after(exc)
        except StepwireError:
            # Raised from here it would hide the exception, or the cancellation, that is under way.
            if exc is None:
                raise
            logger.warning(
                "the end of a step could not be sent", extra={"step_id": self.id}, exc_info=True
            )

    def _end_after(self, exc: BaseException | None) -> None:
        """End it as work that ``exc`` has left, or that nothing has."""
        status, error = outcome(exc)
        if exc is not None and error is not None and self._scope is not None:
            error = described(exc, self._scope.producer.settings)
        if status == "cancelled" and self._scope is not None:
            status = self._scope.cancellation.status
        if self._result_text is not None:
            self._show_result()
        self._end(status, error, self._results(exc))

    def _default_parent(self, frame: Frame) -> str | None:
        return None if self.root else frame.parent_id

    def _fields(self, scope: Scope, started_at: str) -> dict[str, Any]:
        fields = super()._fields(scope, started_at)
        fields["show_input"] = self.show_input
        fields["disable_feedback"] = self.disable_feedback
        fields["default_open"] = self.default_open
        fields["auto_collapse"] = self.auto_collapse
        fields["icon"] = self.icon
        return fields


def outcome(exc: BaseException | None) -> tuple[EndStatus, ErrorInfo | None]:
    """How work ends that ``exc`` has left, or that nothing has."""
    if exc is None or isinstance(exc, GeneratorExit):
        return "ok", None
    if isinstance(exc, asyncio.CancelledError):
        return "cancelled", None
    # Here, as wherever a document is made: `import stepwire` loads no models, nor pydantic. What
    # emits has loaded them, since the publisher has.
    from stepwire_core.wire.documents import ErrorInfo

    return "error", ErrorInfo.of(exc)

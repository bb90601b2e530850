"""The step: a context manager that shows a piece of work, live."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from contextlib import contextmanager
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from stepwire._scope.context import Frame, Scope, current_frame, enter_frame, leave_frame
from stepwire._transport.append_call import ProgressUpdate
from stepwire._tree.durable import DurableCall, result_text, step_key
from stepwire._tree.node import Node
from stepwire._values.attributes import Checked, flag, flag_or_text, text_or_none
from stepwire._values.progress import progress_of
from stepwire._values.usage import usage_of
from stepwire_core.errors import InvalidArgument, StepwireError
from stepwire_core.values.clock import now
from stepwire_core.wire.documents import EndStatus, ErrorInfo, StepDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextvars import Token
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

    from stepwire._tree.durable import Kept
    from stepwire._tree.element_base import Element
    from stepwire_core.wire.documents import Progress, Usage
    from stepwire_core.wire.events import NewEvent

logger = logging.getLogger("stepwire.step")


class Step(Node):
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

    icon: Checked[str | None, str | None] = Checked(text_or_none, str, NoneType)
    show_input: Checked[bool | str, bool | str | None] = Checked(flag_or_text, bool, str)
    default_open: Checked[bool, bool | None] = Checked(flag, bool)
    auto_collapse: Checked[bool, bool | None] = Checked(flag, bool)
    disable_feedback: Checked[bool, bool | None] = Checked(flag, bool)
    key: Checked[str | None, str | None] = Checked(step_key, NoneType)

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
        self.icon = icon
        self.show_input = show_input
        self.default_open = default_open
        self.auto_collapse = auto_collapse
        self.root: bool = flag(root, "root", "step")
        self.disable_feedback = True if disable_feedback is None else disable_feedback
        self.key = key
        self._durable: DurableCall | None = None
        self._result: Any = None
        self._result_text: str | None = None
        self._from_attempt: int | None = None
        self._usage: Usage | None = None
        self._progress: Progress | None = None
        self._entered = False
        self._token: Token[Frame | None] | None = None

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

    @property
    def is_reused(self) -> bool:
        """Whether :attr:`result` is what an earlier attempt of the run has stored for this step."""
        return self._from_attempt is not None

    @property
    def result(self) -> Any:
        """What the work has come to; of a step with a key, a later attempt of the run has it, too.

        Assign it inside the block, when it is complete: it is stored as it is then, when the block
        ends well. It must be JSON, of ``STEPWIRE_MAX_EVENT_BYTES`` at most. What JSON turns into
        something else, as a tuple into a list, is here as it will be there. It is shown as the
        output, unless that is set.

        Raises:
            InvalidArgument: when assigned: it is not JSON, or too large (``ValueTooLarge``), or the
                step has no key.
        """
        return self._result

    @result.setter
    def result(self, value: object) -> None:
        if self._stored_as is None:
            raise InvalidArgument(
                f"step {self.name!r} has no key to store a result under: cl.Step(…, key='…'), or "
                "@cl.step(durable=True)"
            )
        limit = math.inf if self._scope is None else self._scope.producer.settings.max_event_bytes
        text = result_text(self.name, value, limit)
        again = json.loads(text)
        if self.is_reused:
            # The work was done once more.
            self._from_attempt = None
            self.output = ""
        self._result, self._result_text = (value if again == value else again), text

    @property
    def _stored_as(self) -> str | None:
        """What tells its work from other work of the run; None: its result is not stored."""
        return self.key

    async def stream_token(
        self, token: str, is_sequence: bool = False, is_input: bool = False
    ) -> None:
        """Append a piece of text to the output; users see it at once.

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
        await self._stream(token, "input" if is_input else "output", replace=is_sequence)

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Say how far it is: users see it at once, as a bar.

        It may be said as often as one likes, from synchronous code and threads too: what has not
        been sent yet is replaced. Never waits; while the process's buffer is full, it is shown with
        the next thing that is sent of the step.

        Args:
            done: How much is done, in whatever is counted.
            total: How much there is; None: that is not known. More may be done than there is.
            text: What it does now, in a few words.

        Raises:
            InvalidArgument: a number is not one, or is negative; or the text is not text.
            RunFenced, RunEnded, SessionNotFound, SessionFull, StoreUnavailable: nothing more can be
                stored.
        """
        progress = progress_of(done, total, text)
        if progress == self._progress:
            return
        self._progress = progress
        scope = self._scope
        if scope is None:
            # It is shown when it is sent.
            return
        producer = scope.producer
        if producer.replace_progress(self.id, progress.model_dump_json(), now()):
            return
        if producer.must_wait:
            return
        self._send_progress(scope)

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost: float | Decimal | None = None,
        model: str | None = None,
    ) -> None:
        """Say what it has used so far, itself and without the steps below it.

        Users see it when it ends, or after :meth:`update`. The run and the session have the sums of
        their steps, in which each step counts with what it has said last. Never waits.

        Args:
            input_tokens: Tokens that a model has read; what is None stays as it was said before.
            output_tokens: Tokens that it has written.
            cost: In a currency that is the same for all of your steps.
            model: Its name.

        Raises:
            InvalidArgument: a number is not one, or is negative; or the model is not text.
        """
        self._usage = usage_of(self._usage, input_tokens, output_tokens, cost, model)

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

    async def __aenter__(self) -> Self:
        with self._entering():
            await self._store_elements()
            if (call := self._call()) is not None:
                self._reuse(await call.find())
            self._token = self._enter()
            if self._must_wait:
                await self._room()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._leaving(exc) as complete:
            if complete:
                await self._store_elements()
        if self._scope is not None and self._has_stored:
            await self._scope.producer.flush()
        if complete and self._must_wait:
            await self._room()

    def __enter__(self) -> Self:
        with self._entering():
            self._store_elements_sync()
            if (call := self._call()) is not None:
                self._reuse(call.find_sync())
            self._token = self._enter()
            if self._must_wait:
                self._room_sync()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._leaving(exc) as complete:
            if complete:
                self._store_elements_sync()
        if self._scope is not None and self._has_stored:
            self._scope.producer.flush_sync()
        if complete and self._must_wait:
            self._room_sync()

    @contextmanager
    def _entering(self) -> Iterator[None]:
        """Once, unless it fails: an end cannot be taken back, and an inner block would bring it."""
        if self._entered:
            raise InvalidArgument(
                f"step {self.name!r} has been entered before: a step is one block; make another "
                "cl.Step for the next one"
            )
        self._entered = True
        try:
            yield
        except BaseException as error:
            if self._token is None:
                self._entered = False
                self._give_back()
            else:
                # Cancelled while it waited for room: the block that would end it does not begin.
                leave_frame(self._token)
                self._token = None
                self._leave(error)
            raise

    @contextmanager
    def _leaving(self, exc: BaseException | None) -> Iterator[bool]:
        """Ends the step when what was attached in the block is stored, or cannot be."""
        if self._token is not None:
            leave_frame(self._token)
            self._token = None
        try:
            yield exc is None or isinstance(exc, Exception)
        except BaseException as error:
            self._leave(exc or error)
            if exc is None or not isinstance(error, Exception):
                raise
            # Raised from here it would hide the exception that is under way.
            logger.warning(
                "an element could not be stored", extra={"step_id": self.id}, exc_info=True
            )
        else:
            self._leave(exc)

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
        if status == "cancelled" and self._scope is not None:
            status = self._scope.cancellation.status
        if self._result_text is not None:
            self._show_result()
        self._end(status, error, self._results(exc))

    def _send_progress(self, scope: Scope) -> None:
        is_taken = False
        while not is_taken:
            over_at, ts = self._over_at, now()
            update = ProgressUpdate.of(self._document(scope, self.started_at or ts, ts))
            # If it was ended meanwhile, this would show it as running for ever.
            is_current = partial(self._is_over_since, over_at)
            is_taken = scope.producer.put_progress(update, is_current)

    def _is_over_since(self, over_at: str | None) -> bool:
        return self._over_at == over_at

    # -- durable --------------------------------------------------------------------------------

    def _call(self) -> DurableCall | None:
        """Which call of its kind this one is in the run, if its result is to be stored."""
        if self._stored_as is None:
            return None
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        self._durable = DurableCall.in_run(scope, self._stored_as)
        return self._durable

    def _reuse(self, kept: Kept | None) -> None:
        if kept is not None:
            self._result, self._from_attempt = kept.value, kept.attempt
            self._show_result()

    def _show_result(self) -> None:
        if self._result is not None and not self.output:
            self.output = self._result

    def _results(self, exc: BaseException | None) -> list[NewEvent]:
        """What is to be stored of its result, now that it has ended."""
        if self._durable is None or self.is_reused:
            return []
        if exc is not None or self._result_text is None:
            self._give_back()
            return []
        return [self._durable.event(self._result_text)]

    def _give_back(self) -> None:
        durable, self._durable = self._durable, None
        if durable is not None:
            durable.give_back()

    @property
    def _has_stored(self) -> bool:
        """Whether its block has ended with a result: what comes next may rely on it."""
        return self._durable is not None and not self.is_reused

    def _sums(self, scope: Scope) -> Sequence[NewEvent]:
        if self._usage is None or scope.run is None:
            return ()
        return scope.run.usage.take(self.id, self._usage)

    def _default_parent(self, frame: Frame) -> str | None:
        return None if self.root else frame.parent_id

    def _document(self, scope: Scope, started_at: str, ts: str, **own: Any) -> StepDocument:
        return super()._document(
            scope,
            started_at,
            ts,
            show_input=self.show_input,
            disable_feedback=self.disable_feedback,
            default_open=self.default_open,
            auto_collapse=self.auto_collapse,
            icon=self.icon,
            from_attempt=self._from_attempt,
            usage=self._usage,
            progress=self._progress,
            **own,
        )


def outcome(exc: BaseException | None) -> tuple[EndStatus, ErrorInfo | None]:
    """How work ends that ``exc`` has left, or that nothing has."""
    if exc is None or isinstance(exc, GeneratorExit):
        return "ok", None
    if isinstance(exc, asyncio.CancelledError):
        return "cancelled", None
    return "error", ErrorInfo.of(exc)

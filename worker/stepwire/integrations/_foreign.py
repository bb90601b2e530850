"""Steps that a library's code begins and ends.

A ``with`` block is not to be had there: a callback begins a step and another one ends it, maybe in
another task or thread.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from stepwire._scope.context import Frame
from stepwire._tree.step import Step, outcome
from stepwire._values.json_form import jsonable
from stepwire.integrations import _model_calls as model_calls
from stepwire.integrations._told_usage import usage_in
from stepwire_core.wire.documents import ErrorInfo, Usage, UsageSum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stepwire._transport.producer import Producer

MAX_SOLID_CHARS: Final = 2_000
"""A longer text without a space is a file in base64; users see its size instead."""

_numbers = itertools.count()


class ForeignStep(Step):
    """A step that a library's calls begin and end; it starts when it is made.

    Args:
        place: Where it starts.
        frame: The frame of ours that is around the code which begins it.
        source: The integration that shows it.
        model: Of a model's call, the model. None is any.
    """

    def __init__(
        self,
        place: Frame,
        *,
        frame: Frame | None,
        source: str,
        name: str,
        type: str,
        model: str | None = None,
        id: str | None = None,
        asked: object = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, type, id=id, tags=tags)
        self.number = next(_numbers)
        self._handled = sys.exception()
        self._around = None if frame is None else frame.step
        self._source = source
        self._model = model
        self._streamer: object = None
        self._joined: dict[str, Joined] = {}
        self._inside = place.step
        self._told_usage: Usage | None = None
        self._counted = UsageSum()
        self._counted_below = UsageSum()
        self.show_asked(asked)
        self._started(place)

    @property
    def step(self) -> ForeignStep:
        return self

    @property
    def leaving(self) -> BaseException | None:
        """The exception that leaves its code now, for libraries that do not hand it over.

        One that was being handled when the step began does not leave it.
        """
        error = sys.exception()
        return None if error is self._handled else error

    @property
    def place(self) -> Frame:
        """Inside it."""
        return Frame(self._started(), self)

    @property
    def producer(self) -> Producer:
        return self._started().producer

    def began_in(self, frame: Frame) -> bool:
        """Whether no frame of ours was entered between that one and this step."""
        # Not the frame itself: a generator's step has one for each stretch of its code.
        return self._around is frame.step and self._scope is frame.scope

    def is_call_of(self, source: str, model: str | None) -> bool:
        """Whether a model's call that ``source`` sees inside this step is this very call.

        A source that sees one call inside another means two. So does one that sees a second call
        inside this one: a retry, or what somebody does between the pieces of a stream.
        """
        return (
            self.type == "llm"
            and self.ended_at is None
            and self._source != source
            and source not in self._joined
            and (self._model is None or self._model == model)
        )

    def stream(self, text: str, *, by: object) -> None:
        """Append to the output. What several see passing is taken from the first of them."""
        if not text:
            return
        self._streamer = self._streamer or by
        if self._streamer is by:
            self._add(text, "output", replace=False)

    def finish(
        self,
        *,
        name: str | None = None,
        asked: object = None,
        output: object = None,
        metadata: Mapping[str, Any] | None = None,
        error: BaseException | ErrorInfo | None = None,
    ) -> None:
        """End it; once it has ended, show what has come to be known.

        What has been streamed stays its output; what is None or empty changes nothing. Libraries
        that tell an error in words give an :class:`ErrorInfo`.
        """
        self.name = name or self.name
        self.show_asked(asked)
        joined = self._joined.values()
        failures = [other.error.model_dump() for other in joined if other.error is not None]
        if output is not None and failures:
            # The text that was streamed is the beginning of an answer that never came.
            self.output = ""
        if error is None and self.error is None:
            self.metadata |= _told({"errors": failures[:1]})
        for other in joined:
            self.metadata = other.facts | self.metadata
            output = other.output if output is None else output
        if output is not None and not self.output:
            self.output = concise(output)
        self.metadata |= _told(metadata)
        self._count_usage()
        if self.ended_at is not None:
            self._update()
        elif isinstance(error, ErrorInfo):
            self._end("error", error)
        else:
            self._end_after(error)

    def _count_usage(self) -> None:
        """Take the usage that the library tells for the step, unless the user's code has set one.

        The usage of an agent or chain is the sum of the calls below it, which tell their own. Of a
        call that two libraries see as two steps, each has its own part.
        """
        told = usage_in(self.metadata)
        if self.type not in _MODEL_CALLS or told is None:
            return
        if self._usage is not None and self._usage is not self._told_usage:
            return
        below = self._counted_below
        own = Usage(
            input_tokens=_rest(told.input_tokens, below.input_tokens),
            output_tokens=_rest(told.output_tokens, below.output_tokens),
            cost=_rest(told.cost, below.cost),
            model=told.model,
        )
        before, self._counted = self._counted, UsageSum().plus(own)
        self._usage = self._told_usage = own
        if isinstance(self._inside, ForeignStep):
            self._inside.count_below(before, self._counted)

    def count_below(self, before: UsageSum, now: UsageSum) -> None:
        """A step inside this one has told what it has used."""
        self._counted_below = self._counted_below.plus(before, -1).plus(now)
        if isinstance(self._inside, ForeignStep):
            self._inside.count_below(before, now)

    def show_asked(self, value: object) -> None:
        """Take the request as the input; None changes nothing."""
        if value is not None:
            self.show_input = self._set("input", concise(value)) or True

    def join(self, source: str, joined: Joined, *, asked: object) -> None:
        """``source`` sees this call, too; what it says was asked counts if nothing else did."""
        self._joined[source] = joined
        if asked is not None and not self.input:
            self.show_asked(asked)
            self._update()


_MODEL_CALLS: Final = frozenset({"llm", "embedding", "rerank"})

R = TypeVar("R", int, float)


def _rest(told: R | None, below: R) -> R | None:
    return None if told is None else max(told - below, type(told)(0))


class Joined:
    """A model's call that a :class:`ForeignStep` shows already, seen by another integration too.

    One call is one step, that of the outer integration, which knows more. This one adds what the
    outer one does not tell: tokens as they come, facts, what was asked and answered, an error that
    the outer one has survived.
    """

    def __init__(self, step: ForeignStep, source: str, *, asked: object = None) -> None:
        self._step = step
        self.facts: dict[str, Any] = {}
        self.output: object = None
        self.error: ErrorInfo | None = None
        step.join(source, self, asked=asked)

    @property
    def step(self) -> ForeignStep:
        return self._step

    @property
    def producer(self) -> Producer:
        return self._step.producer

    @property
    def leaving(self) -> BaseException | None:
        return self._step.leaving

    @property
    def metadata(self) -> dict[str, Any]:
        return self._step.metadata

    def stream(self, text: str, *, by: object) -> None:
        self._step.stream(text, by=by)

    def finish(
        self,
        *,
        name: str | None = None,  # noqa: ARG002 - the outer one has named it
        asked: object = None,
        output: object = None,
        metadata: Mapping[str, Any] | None = None,
        error: BaseException | ErrorInfo | None = None,
    ) -> None:
        self.output = output
        self.facts = _told(metadata)
        self.error = error if isinstance(error, ErrorInfo) else outcome(error)[1]
        if asked is not None and not self._step.input:
            self._step.show_asked(asked)
        if self._step.ended_at is not None:
            self._step.finish()


def cancellation(shown: ForeignStep | Joined) -> BaseException | None:
    """The cancellation that leaves the code of a step now, which tracing libraries pass over."""
    error = shown.leaving
    return error if isinstance(error, asyncio.CancelledError) else None


Shown: TypeAlias = ForeignStep | Joined
"""How a call shows: as a step of its own, or in one that is there."""


def begin(place: Frame, *, frame: Frame | None, source: str, type: str, **fields: Any) -> Shown:
    """Show what begins at ``place``; see :class:`ForeignStep` for the fields."""
    if type == "llm":
        model = fields.get("model")
        if isinstance(place.step, ForeignStep) and place.step.is_call_of(source, model):
            return Joined(place.step, source, asked=fields.get("asked"))
        call = model_calls.the_only_one()
        if (
            isinstance(call, ForeignStep)
            and frame is not None
            and call.began_in(frame)
            and call.is_call_of(source, model)
        ):
            return Joined(call, source, asked=fields.get("asked"))
    return ForeignStep(place, frame=frame, source=source, type=type, **fields)


def concise(value: object) -> Any:
    """``value`` in JSON's own types, files in it as a mark with their size."""
    return value if isinstance(value, str) else _without_files(jsonable(value))


def _without_files(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_SOLID_CHARS and value.isascii() and len(value.split(None, 1)) == 1:
            return f"{value[:32]}… ({len(value)} characters)"
        return value
    if isinstance(value, dict):
        return {key: _without_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_files(item) for item in value]
    return value


def _told(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (facts or {}).items() if value not in (None, "", [], {})}

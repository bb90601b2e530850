"""The documents that events carry: steps, runs, the snapshot (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from stepwire_core.values.json_values import mended
from stepwire_core.values.text import whole
from stepwire_core.wire.words import (
    COST_DIGITS,
    MAX_ERROR_CHARS,
    MAX_GROUP_DEPTH,
    MAX_GROUP_PARTS,
    PROTOCOL_VERSION,
    AskKind,
    AskStatus,
    ElementDisplay,
    StepStatus,
    TextField,
)

Text = Annotated[str, AfterValidator(whole)]
"""A string of whole characters, whatever it was made from."""


def _mended_object(value: dict[str, Any]) -> Any:
    return mended(value) if value else value


JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_mended_object)]
"""An object of a document: whatever it was made from, it can be read again."""


def _words(known: object) -> WithJsonSchema:
    """One of these words in what we write; in what we read, it may be a newer version's."""
    return WithJsonSchema({"type": "string", "enum": list(get_args(known))})


def _as_known(schema: dict[str, Any]) -> None:
    # That there may be more fields is the protocol's rule for all of them.
    schema.pop("additionalProperties", None)


def _is_none(value: object) -> bool:
    return value is None


_IF_SAID: Final = Field(exclude_if=_is_none)
"""A field that is written only where it says something: most documents would carry a null."""


class _Document(BaseModel):
    # A field of a newer version is passed on, whether or not this one knows it.
    # What we write has every field, whatever its default, but those that are `_IF_SAID`.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow",
        json_schema_extra=_as_known,
        json_schema_serialization_defaults_required=True,
    )

    def to_json(self) -> str:
        """One line of JSON, as it is stored and sent."""
        # What `model_dump_json` comes to, in two thirds of its time: there are two for each step.
        return self.__pydantic_serializer__.to_json(self).decode()


def _message_of(error: BaseException, depth: int = 0) -> str:
    """The text of an exception; of a group, with the exceptions in it."""
    try:
        message = str(error)
    except Exception as unreadable:  # noqa: BLE001 - a user's __str__ may raise anything
        message = f"<its text raised {type(unreadable).__name__}>"
    if not isinstance(error, BaseExceptionGroup) or depth > MAX_GROUP_DEPTH:
        return message
    inside = (
        f"{type(part).__name__}: {_message_of(part, depth + 1)}"
        for part in error.exceptions[:MAX_GROUP_PARTS]
    )
    return "\n- ".join((message, *(part.replace("\n", "\n  ") for part in inside)))


class ErrorInfo(_Document):
    """What went wrong: the exception's class and text."""

    type: Text
    message: Text
    traceback: Annotated[Text | None, _IF_SAID] = None
    """As Python prints it, without values; missing where ``STEPWIRE_TRACEBACKS`` keeps it."""

    def without_traceback(self) -> ErrorInfo:
        return self.model_copy(update={"traceback": None})

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        message = _message_of(error)
        if len(message) > MAX_ERROR_CHARS:
            message = f"{message[:MAX_ERROR_CHARS]}\n… [cut off after {MAX_ERROR_CHARS} characters]"
        return cls(type=type(error).__name__, message=message)


class Progress(_Document):
    """How far a step is."""

    done: int | float
    total: int | float | None = None
    """Of what ``done`` counts; None: it is not known how much there is."""
    text: Text | None = None
    """What it does now, in a few words."""


class Usage(_Document):
    """The usage of a call of a model; a field is None where the step does not say it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    """In whatever currency the handlers count in."""
    model: Text | None = None


class UsageSum(_Document):
    """What the steps of a run, or of a session, have used together."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def plus(self, usage: Usage | UsageSum | None, times: int = 1) -> UsageSum:
        """The sum with this added; with ``times=-1``, without it."""
        if usage is None:
            return self
        return UsageSum(
            input_tokens=self.input_tokens + times * (usage.input_tokens or 0),
            output_tokens=self.output_tokens + times * (usage.output_tokens or 0),
            # Costs are decimal fractions: what adding them as binary ones brings in is cut off.
            cost=round(self.cost + times * (usage.cost or 0.0), COST_DIGITS),
        )

    @classmethod
    def of_session(cls, runs: Iterable[RunDocument], steps: Iterable[StepDocument]) -> UsageSum:
        """The usage of a session: of its runs, and of its steps outside of runs."""
        total = cls()
        for run in runs:
            total = total.plus(run.usage)
        for step in steps:
            if step.run_id is None:
                total = total.plus(step.usage)
        return total


class StepDocument(_Document):
    """A node in the tree of a session."""

    id: str
    session_id: str
    run_id: str | None
    attempt: int
    parent_id: str | None
    name: Text
    type: Text
    status: Annotated[str, _words(StepStatus)]
    """One of :data:`StepStatus`, or a newer version's."""
    input: Text = ""
    output: Text = ""
    language: Text | None = None
    show_input: bool | Text = False
    disable_feedback: bool = True
    default_open: bool = False
    auto_collapse: bool = False
    icon: Text | None = None
    tags: list[Text] = Field(default_factory=list)
    metadata: JsonObject = Field(default_factory=dict)
    elements: list[str] = Field(default_factory=list)
    started_at: str
    ended_at: str | None = None
    error: ErrorInfo | None = None
    from_attempt: Annotated[int | None, _IF_SAID] = None
    """The attempt of its run whose stored result it has; None: it did the work itself."""
    usage: Annotated[Usage | None, _IF_SAID] = None
    """What it has used itself, without the steps below it."""
    progress: Annotated[Progress | None, _IF_SAID] = None
    ts: str


class ElementDocument(_Document):
    """Something that is shown with a step: an image, a file, a table. Its bytes are at ``url``."""

    id: str
    session_id: str
    run_id: str | None
    step_id: str | None
    type: Text
    name: Text
    mime: str
    display: Annotated[str, _words(ElementDisplay)]
    size: int | None
    """In bytes; None for what lies elsewhere."""
    sha256: str | None
    url: str
    props: JsonObject = Field(default_factory=dict)
    ts: str


_RATINGS: Final = WithJsonSchema({"type": "integer", "enum": [0, 1]})


class FeedbackDocument(_Document):
    """The opinion of a person about a step."""

    step_id: str
    value: Annotated[int, _RATINGS] | None
    """1 good, 0 bad; None: taken back."""
    comment: Text | None = None
    ts: str


class ActionDocument(_Document):
    """One of the answers that an ask offers."""

    id: str
    name: Text
    label: Text
    tooltip: Text = ""
    icon: Text | None = None
    payload: JsonObject = Field(default_factory=dict)


class StepActionDocument(ActionDocument):
    """A button of the step ``step_id``, for as long as it is there: each click is a run."""

    session_id: str
    run_id: str | None
    step_id: str
    ts: str


class Submission(_Document):
    """A person's submission of an element that asks."""

    submitted: bool
    """False: cancelled."""
    props: JsonObject = Field(default_factory=dict)


class AnswerDocument(_Document):
    """A person's answer to an ask, by the ask's kind: a message, an action, files, or what the
    element that asks has submitted."""

    id: str
    message_id: str | None = None
    action_id: str | None = None
    elements: list[str] = Field(default_factory=list)
    submission: Submission | None = None


class AskDocument(_Document):
    """A question to the person, shown with the step ``step_id``; a handler waits for the answer."""

    id: str
    session_id: str
    run_id: str | None
    attempt: int
    step_id: str
    kind: Annotated[str, _words(AskKind)]
    actions: list[ActionDocument] = Field(default_factory=list)
    accept: list[Text] = Field(default_factory=list)
    """Media types and file extensions, as in the ``accept`` of an HTML file input."""
    max_files: int | None = None
    max_bytes: int | None = None
    """Of each file."""
    element_id: str | None = None
    """The element that a page draws to be answered, of an ask of kind ``element``."""
    status: Annotated[str, _words(AskStatus)] = "open"
    answer: AnswerDocument | None = None
    expires_at: str
    started_at: str
    ended_at: str | None = None
    ts: str


class RunDocument(_Document):
    """One execution of a handler."""

    run_id: str
    handler: str
    attempt: int
    message_id: str | None
    status: Annotated[str, _words(StepStatus)]
    started_at: str
    ended_at: str | None = None
    error: ErrorInfo | None = None
    will_retry: bool = False
    parent_run_id: str | None = None
    """The run that has started it with ``cl.enqueue``."""
    retry_of: Annotated[str | None, _IF_SAID] = None
    """The run whose work it does again, because a person has asked for that."""
    usage: Annotated[UsageSum | None, _IF_SAID] = None
    """What its steps have used, in all attempts, also those that were removed."""
    ts: str
    v: int = PROTOCOL_VERSION


class TextDelta(_Document):
    """A piece of text for a field of the step ``id``: to be appended, or put in its place."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_serialization_defaults_required=False
    )

    id: str
    field: Annotated[str, _words(TextField)]
    text: str
    replace: bool = False
    """Left out where it is false."""


class Removal(_Document):
    """What is gone, by its id."""

    id: str


class Snapshot(_Document):
    """Everything that a session shows, at one cursor."""

    session_id: str
    cursor: str
    runs: list[RunDocument]
    steps: list[StepDocument]
    elements: list[ElementDocument] = Field(default_factory=list)
    asks: list[AskDocument] = Field(default_factory=list)
    feedback: list[FeedbackDocument] = Field(default_factory=list)
    actions: list[StepActionDocument] = Field(default_factory=list)
    steps_before_runs: list[int] = Field(default_factory=list)
    """For each of ``runs``, how many of ``steps`` stand before it."""
    usage: UsageSum = Field(default_factory=UsageSum)
    """What all of it has used: the runs, and the steps outside of runs."""
    v: int = PROTOCOL_VERSION

    def run(self, run_id: str) -> RunDocument | None:
        return next((run for run in self.runs if run.run_id == run_id), None)


Document = dict[str, Any]
"""A document as parsed JSON."""

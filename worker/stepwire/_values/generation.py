"""The facts about a call of a model: ``step.generation``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypedDict

from stepwire._values.attributes import refusal


class GenerationMessage(TypedDict, total=False):
    """A message of a :class:`ChatGeneration`, as the model has got or given it."""

    role: str
    content: str | list[dict[str, Any]] | None
    name: str | None
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None


@dataclass(kw_only=True)
class Generation:
    """The common part of both kinds of generations."""

    type: ClassVar[str]

    provider: str | None = None
    model: str | None = None
    error: str | None = None
    settings: Mapping[str, Any] | None = None
    """The parameters of the call, such as its temperature."""
    variables: Mapping[str, Any] | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    token_count: int | None = None
    input_token_count: int | None = None
    output_token_count: int | None = None
    tt_first_token: float | None = None
    """Seconds to the first token."""
    token_throughput_in_s: float | None = None
    duration: float | None = None
    """In seconds."""

    def to_dict(self) -> dict[str, Any]:
        """The facts that were given, with its ``type``; None is left out."""
        # Not a copy: users put anything into it, and every document of the step has it.
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"type": self.type} | {k: v for k, v in given.items() if v is not None}


@dataclass(kw_only=True)
class ChatGeneration(Generation):
    """A call of a chat model: ``step.generation = cl.ChatGeneration(model="…", messages=[…])``.

    ``messages`` is what it has got, and ``message_completion`` its answer.
    """

    type = "CHAT"

    messages: Sequence[GenerationMessage] = field(default_factory=list)
    message_completion: GenerationMessage | None = None


@dataclass(kw_only=True)
class CompletionGeneration(Generation):
    """A call of a model that continues a text: ``prompt``, and ``completion``, its answer."""

    type = "COMPLETION"

    prompt: str | None = None
    completion: str | None = None


def generation_or_none(value: object, name: str, noun: str) -> Generation | None:
    if value is None or isinstance(value, Generation):
        return value
    raise refusal(name, noun, "must be a ChatGeneration or a CompletionGeneration", value)

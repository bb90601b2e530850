"""Types and checks that all request bodies share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SkipValidation,
    model_validator,
)

from stepwire_core.errors import MessageTooLarge, UnsupportedMediaType
from stepwire_core.values.ids import ID_PATTERN
from stepwire_core.values.json_values import flaw
from stepwire_core.wire.run_request import Priority

if TYPE_CHECKING:
    from fastapi import Request

    from stepwire_core.settings import Settings

T = TypeVar("T")


def _without_flaw(value: T) -> T:
    if (found := flaw(value)) is not None:
        raise ValueError(found)
    return value


Text = Annotated[str, AfterValidator(_without_flaw)]
"""Text that UTF-8 can carry; JSON can write halves of surrogate pairs, which it cannot."""

Object = Annotated[dict[str, SkipValidation[JsonValue]], AfterValidator(_without_flaw)]
"""An object that every JSON parser reads again. It is JSON, since it was parsed: to look at each
value once more would take half of the time of a large request."""

Id = Annotated[str, Field(pattern=ID_PATTERN)]


MAX_FIELDS: Final = 100
"""More than any request has: each unknown field is an error that is made, and told."""


class Body(BaseModel):
    """A body of which every field is known."""

    # A misspelt field must not be dropped silently: its effect would be missed much later.
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_no_heap(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise ValueError(f"has {len(value)} fields; known are {', '.join(cls.model_fields)}")
        return value


def require_unpacked(request: Request) -> None:
    """Refuse packed bodies: limits count, and the log stores, the bytes that were sent.

    Raises:
        UnsupportedMediaType: it is in a content coding (RFC 9110, 8.4 and 15.5.16).
    """
    codings = ",".join(request.headers.getlist("content-encoding"))
    if codings.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"Content-Encoding: {codings} is not accepted: send the body unpacked; send a file that"
            " is to stay packed without Content-Encoding, and with the type of its archive, as "
            "application/gzip",
            accept_encoding="identity",
        )


def require_bounded(content: str, metadata: dict[str, JsonValue], settings: Settings) -> None:
    """Check the size of something that a person says.

    Raises:
        MessageTooLarge: its text or its metadata is larger than the settings allow.
    """
    if len(content) > settings.max_message_chars:
        raise MessageTooLarge(len(content), settings.max_message_chars)
    size = len(json.dumps(metadata, ensure_ascii=False))
    if size > settings.max_metadata_chars:
        raise MessageTooLarge(size, settings.max_metadata_chars, of_metadata=True)


class OnBehalf(Body):
    """Fields with which a backend chooses the subject and the priority of a run."""

    subject: Text | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="The subject of the run; needs the right `admin`. By default the token's.",
    )
    priority: Priority | None = Field(
        default=None,
        description="From 0 to 9; needs the right `admin`. By default the token's.",
    )

"""What request bodies have in common."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from stepwire_core.ids import ID_PATTERN
from stepwire_core.json_values import flaw
from stepwire_core.queue import Priority

T = TypeVar("T")


def _without_flaw(value: T) -> T:
    if (found := flaw(value)) is not None:
        raise ValueError(found)
    return value


Text = Annotated[str, AfterValidator(_without_flaw)]
"""Text that UTF-8 can carry; JSON can write halves of surrogate pairs, which it cannot."""

Object = Annotated[dict[str, JsonValue], AfterValidator(_without_flaw)]
"""An object that every JSON parser reads again."""

Id = Annotated[str, Field(pattern=ID_PATTERN)]


class Body(BaseModel):
    """A body of which every field is known."""

    # A misspelt field that is silently dropped costs somebody an afternoon.
    model_config = ConfigDict(extra="forbid")


class OnBehalf(Body):
    """What a backend may say of a run that it asks for; its own token or key says the rest."""

    subject: Text | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Whose run it is; takes the right `admin`. By default the token's subject.",
    )
    priority: Priority | None = Field(
        default=None,
        description="From 0 to 9; takes the right `admin`. By default the token's.",
    )

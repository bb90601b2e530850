"""What request bodies have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.ids import ID_PATTERN
from stepwire_core.queue import Priority

Id = Annotated[str, Field(pattern=ID_PATTERN)]


class Body(BaseModel):
    """A body of which every field is known."""

    # A misspelt field that is silently dropped costs somebody an afternoon.
    model_config = ConfigDict(extra="forbid")


class OnBehalf(Body):
    """What a backend may say of a run that it asks for; its own token or key says the rest."""

    subject: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Whose run it is; takes the right `admin`. By default the token's subject.",
    )
    priority: Priority | None = Field(
        default=None,
        description="From 0 to 9; takes the right `admin`. By default the token's.",
    )

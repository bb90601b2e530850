"""What request bodies have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.ids import ID_PATTERN

Id = Annotated[str, Field(pattern=ID_PATTERN)]


class Body(BaseModel):
    """A body of which every field is known."""

    # A misspelt field that is silently dropped costs somebody an afternoon.
    model_config = ConfigDict(extra="forbid")

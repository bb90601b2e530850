"""Tasks as workers describe them, and as clients get them: what each is for, and its arguments."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from stepwire_core.wire.documents import JsonObject


class TaskDocument(BaseModel):
    """A function that has ``@cl.task``."""

    # A field of a newer worker is passed on.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", json_schema_serialization_defaults_required=True
    )

    name: str
    description: str = Field(default="", description="From its docstring.")
    args_schema: JsonObject | None = Field(
        default=None,
        description="A JSON Schema (2020-12) of `args`; null: no worker has described them.",
    )


class TaskDocuments(BaseModel):
    """The tasks of one worker, as they are stored."""

    tasks: list[TaskDocument]


class TaskEntry(TaskDocument):
    """A task that can be run."""

    workers: int = Field(description="How many of the workers that take runs have it.")


class TaskList(BaseModel):
    """What can be asked of the workers that are there."""

    tasks: list[TaskEntry] = Field(
        description="By name. Where workers describe one differently, as while a new version "
        "replaces the old one, the worker that has begun last is right."
    )
    handlers: list[str] = Field(
        description="What runs when something happens in a session: `on_message`, `action:<name>`."
    )
    workers: int = Field(
        description="How many workers take runs, without those that stop or have missed a "
        "renewal; with 0, a run waits until a worker is there."
    )

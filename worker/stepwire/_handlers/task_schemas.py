"""Descriptions of tasks for clients: a JSON Schema of their arguments, and their docstrings."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import typing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from stepwire_core.values.json_values import flaw
from stepwire_core.values.text import whole
from stepwire_core.wire.task_document import TaskDocument
from stepwire_core.wire.words import is_event_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stepwire._handlers.registry import Handlers

logger = logging.getLogger("stepwire.tasks")

MAX_SCHEMA_BYTES: Final = 32_000
"""Of one task. A larger schema is left out: clients then show a field for JSON."""

MAX_BYTES: Final = 500_000
"""Of all tasks together; what comes after them has its name alone."""

MAX_DESCRIPTION_CHARS: Final = 2_000

_UNKNOWN: Final[JsonSchemaValue] = {}
"""Of a type that has no JSON Schema: anything."""


def describe(handlers: Handlers) -> list[TaskDocument]:
    """The tasks among the handlers. A type, a default or a docstring that cannot be described costs
    this alone."""
    tasks, left = [], MAX_BYTES
    for name, function in sorted(handlers.functions.items()):
        if is_event_handler(name):
            continue
        task = _described(name, function)
        size = len(task.model_dump_json())
        if size > left:
            task, size = TaskDocument(name=name), 0
            logger.warning("there are too many tasks to describe all", extra={"task": name})
        left -= size
        tasks.append(task)
    return tasks


def _described(name: str, function: Callable[..., Any]) -> TaskDocument:
    docs = _Docs.of(function)
    try:
        schema = _args_schema(function, docs.parameters)
        size = len(json.dumps(schema, allow_nan=False))
        problem = flaw(schema)
        if problem is None and size > MAX_SCHEMA_BYTES:
            problem = f"its schema has {size} bytes, and {MAX_SCHEMA_BYTES} are shown at most"
    except Exception as error:  # noqa: BLE001 - types and defaults are the user's, and run their code
        schema, problem = {}, f"{type(error).__name__}: {error}"
    if problem is not None:
        logger.warning(
            "the arguments of a task cannot be described", extra={"task": name, "why": problem}
        )
        return TaskDocument(name=name, description=docs.text)
    return TaskDocument(name=name, description=docs.text, args_schema=schema)


def _args_schema(function: Callable[..., Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """A schema of the object whose fields are the keyword arguments of the function."""
    parameters = inspect.signature(function).parameters.values()
    adapters: dict[str, TypeAdapter[Any]] = {}
    required, more = [], False
    for parameter in parameters:
        if parameter.kind == parameter.VAR_KEYWORD:
            more = True
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            adapters[parameter.name] = _adapter(_type_of(parameter, function))
            if parameter.default is parameter.empty:
                required.append(parameter.name)
    schemas, definitions = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()]
    )
    properties = {name: dict(schemas[name, "validation"]) for name in adapters}
    for parameter in parameters:
        if (field := properties.get(parameter.name)) is None:
            continue
        if parameter.name in texts:
            field.setdefault("description", texts[parameter.name])
        if parameter.default is not parameter.empty:
            _add_default(field, adapters[parameter.name], parameter.default)
    schema = {"type": "object", "properties": properties, "additionalProperties": more}
    if required:
        schema["required"] = required
    return schema | {name: part for name, part in definitions.items() if name == "$defs"}


def _adapter(type_: Any) -> TypeAdapter[Any]:
    """What describes a type; for one that nothing describes, any value."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(type_)
        adapter.json_schema()
    except Exception:  # noqa: BLE001 - a type may raise anything here
        return TypeAdapter(Any)
    return adapter


def _add_default(field: JsonSchemaValue, adapter: TypeAdapter[Any], default: object) -> None:
    try:
        value = adapter.dump_python(default, mode="json", warnings="none")
        problem = flaw(value)
    except Exception:  # noqa: BLE001 - it is the user's object
        return
    # Left out, it is what the function takes if nothing is sent.
    if problem is None:
        field["default"] = value


def _type_of(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    if parameter.annotation is parameter.empty:
        return Any
    # One by one: a name that is imported for type checkers alone costs its parameter, not all.
    holder = SimpleNamespace(__annotations__={"it": parameter.annotation})
    names = getattr(inspect.unwrap(_itself(function)), "__globals__", {})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - an annotation is evaluated, so it may raise anything
        return Any


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind a partial, or behind an object that is called."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    call: Callable[..., Any] = type(function).__call__
    return call


@dataclass(frozen=True, slots=True)
class _Docs:
    """What a docstring says."""

    text: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> _Docs:
        """Read it, in the style of Google, NumPy or Sphinx."""
        # Here, so that only a process that has tasks to describe loads it.
        from docstring_parser import parse

        try:
            found = parse(inspect.cleandoc(_itself(function).__doc__ or ""))
            parts = (found.short_description, found.long_description)
            said = {part.arg_name: part.description for part in found.params if part.description}
        except Exception:  # noqa: BLE001 - it is the user's text
            return cls("", {})
        return cls(
            _short("\n\n".join(part.strip() for part in parts if part)),
            {name: _short(" ".join(text.split())) for name, text in said.items()},
        )


def _short(text: str) -> str:
    text = whole(text)
    if len(text) <= MAX_DESCRIPTION_CHARS:
        return text
    return text[: MAX_DESCRIPTION_CHARS - 1] + "…"

"""The OpenAPI document, with what routes need and what events carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from stepwire_core.wire.kinds import EVENTS
from stepwire_core.wire.vocabulary import CURSOR_PATTERN, document_schemas
from stepwire_gateway.api.idempotency import HEADER
from stepwire_gateway.api.lists.sessions import LIST_EVENTS
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import GuardedRoute
from stepwire_gateway.http.problems import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel


_REF: Final = "#/components/schemas/"

_CURSOR: Final[dict[str, Any]] = {
    "id": {"type": "string", "description": "The cursor.", "pattern": CURSOR_PATTERN}
}

_USUAL: Final = ("bearer", "cookie")
_SCHEMES: Final = {None: (), "api_key": ("bearer",)}


def describe(app: FastAPI, *, cookie: str, is_open: bool) -> None:
    """Complete the document that FastAPI makes of its routes."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            _add_schemas(document)
            for route, operation in _operations(app.state.routes, document):
                _describe(route, operation, is_open=is_open)
            if not is_open:
                document["components"]["securitySchemes"] = _security(cookie)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _operations(
    routes: Iterable[GuardedRoute], document: dict[str, Any]
) -> Iterator[tuple[GuardedRoute, dict[str, Any]]]:
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                yield route, operation


def _describe(route: GuardedRoute, operation: dict[str, Any], *, is_open: bool) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        # FastAPI's own; ours are problems.
        del responses["422"]
    for status, response in may(*_statuses(route, operation, is_open=is_open)).items():
        responses.setdefault(str(status), response)
    operation["responses"] = dict(sorted(responses.items()))
    if not is_open:
        operation["security"] = [{scheme: []} for scheme in _SCHEMES.get(route.need.right, _USUAL)]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that may be left out: in an address or a header nothing is null,
    and a client that goes by the document would send the word."""
    kinds: list[dict[str, Any]] = [
        kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}
    ]
    if len(kinds) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return kinds[0] | rest


def _statuses(route: GuardedRoute, operation: dict[str, Any], *, is_open: bool) -> Iterator[int]:
    """The problems that follow from what a route needs."""
    need, in_session = route.need, "{session_id}" in route.path
    yield 500
    if need.right is not None:
        yield 403
        if not is_open:
            yield 401
        # A stream is then answered with an empty 200.
        if not need.stream and (not is_open or in_session or need.session in ("body", "listed")):
            yield 503
    if in_session:
        yield 404
    if need.counts is not None and not need.stream:
        yield 429
    if "requestBody" in operation:
        yield from (413, 415)
    # Any text does for the headers, but for one.
    given = ["requestBody"] * ("requestBody" in operation) + [
        parameter["name"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" or parameter["name"] == HEADER
    ]
    if given:
        yield 422


def _add_schemas(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    ref_template = _REF + "{model}"
    models: list[type[BaseModel]] = [Problem, *(data for data, _ in LIST_EVENTS.values())]
    _, own = models_json_schema(
        [(model, "serialization") for model in models], ref_template=ref_template
    )
    for name, schema in {**own["$defs"], **document_schemas(ref_template)}.items():
        schemas.setdefault(name, schema)
    schemas |= _events(
        "SessionEvent",
        "An event of a stream, by its three fields; `data` is JSON on the wire.",
        {
            _name(type_): _event(type_, event.data, event.about, _CURSOR)
            for type_, event in EVENTS.items()
        },
    )
    schemas |= _events(
        "SessionListEvent",
        "An event of the stream of the list, which has no cursor; `data` is JSON on the wire.",
        {
            f"SessionList{_name(type_)}": _event(type_, data, about)
            for type_, (data, about) in LIST_EVENTS.items()
        },
    )


def _events(name: str, about: str, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schemas of the events of one kind of stream, and that of any of them."""
    refs = {schema["properties"]["event"]["const"]: _REF + kind for kind, schema in kinds.items()}
    return {
        **{kind: {"title": kind, **schema} for kind, schema in kinds.items()},
        name: {
            "title": name,
            "description": about,
            "oneOf": [{"$ref": ref} for ref in refs.values()],
            "discriminator": {"propertyName": "event", "mapping": refs},
        },
    }


def _name(type_: str) -> str:
    """``step.delta`` as ``StepDeltaEvent``."""
    return "".join(part.capitalize() for part in type_.split(".")) + "Event"


def _event(
    type_: str, data: type[BaseModel], about: str, cursor: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    fields = {
        **cursor,
        "event": {"type": "string", "const": type_},
        "data": {"$ref": _REF + data.__name__},
    }
    return {
        "description": about,
        "type": "object",
        "properties": fields,
        "required": list(fields),
    }


def _security(cookie: str) -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token, or an API key."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": cookie},
    }

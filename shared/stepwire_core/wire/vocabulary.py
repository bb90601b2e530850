"""The vocabulary for other languages: :mod:`stepwire_core.wire.kinds` as JSON, with a JSON Schema
for every document and every event.

``python -m stepwire_core.wire.vocabulary`` prints it. It lies beside the page's modules, which load
it; a client in another language makes its types from it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from stepwire_core.wire.kinds import EVENTS, KINDS
from stepwire_core.wire.words import PROTOCOL_VERSION

CURSOR_PATTERN: Final = "^[0-9]{1,19}-[0-9]{1,19}$"


def document_schemas(ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """A JSON Schema for each model of an event's data, by its name, as the gateway writes it."""
    models = [(event.data, "serialization") for event in EVENTS.values()]
    _, schemas = models_json_schema(
        list(dict.fromkeys(models)),  # type: ignore[arg-type]  # a tuple's second part is a literal
        ref_template=ref_template,
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return dict(sorted(definitions.items()))


def vocabulary() -> dict[str, Any]:
    """Kinds, events and the schemas of their data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The vocabulary of a stepwire stream",
        "description": "Made from stepwire_core/wire/kinds.py by `make vocabulary`.",
        "protocol": PROTOCOL_VERSION,
        "kinds": {
            kind.name: {
                "list": kind.list_name,
                "id": kind.id_field,
                "parent": kind.parent_field,
                "removing": kind.removing_field,
                "document": {"$ref": f"#/$defs/{kind.model.__name__}"},
            }
            for kind in KINDS
        },
        "events": {
            event.name: {
                "kind": event.kind.name if event.kind else None,
                "effect": event.effect,
                "description": event.about,
                "data": {"$ref": f"#/$defs/{event.data.__name__}"},
            }
            for event in EVENTS.values()
        },
        "$defs": document_schemas(),
    }


def vocabulary_json() -> str:
    """The same, as the file has it."""
    return json.dumps(vocabulary(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(vocabulary_json(), end="")  # noqa: T201 - what it is called for

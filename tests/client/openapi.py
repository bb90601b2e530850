"""Prints the gateway's OpenAPI document, which client/scripts/types.mjs makes types from."""

from __future__ import annotations

import json

from stepwire_core.settings import Settings
from stepwire_gateway import create_app


def document() -> str:
    return json.dumps(create_app(Settings()).openapi())


if __name__ == "__main__":
    print(document())

"""A model on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.model_server import ModelServer, model_server


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running

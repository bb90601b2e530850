"""What all tests share: one real server, and settings that keep tests apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench import Bench, open_bench
from object_storage import ObjectStorage, running_object_storage
from stack import Stack
from stepwire_cli.embedded import EmbeddedServer, embedded_server
from stepwire_core.ids import new_id
from stepwire_core.settings import Settings

pytest_plugins = ["stepwire.testing"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A real server for the whole test run; every test uses sessions and queues of its own."""
    with embedded_server() as running:
        yield running


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    with running_object_storage() as storage:
        yield storage


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    return Settings(redis_url=server.url, queue_name=f"queue:{new_id()}", tail_check_s=0.5)


@pytest.fixture
def session_id() -> str:
    return new_id()


@pytest.fixture
def stack(tmp_path: Path, server: EmbeddedServer) -> Iterator[Stack]:
    """Workers and gateways as processes of their own."""
    with Stack(tmp_path, server.url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_stack(
    tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer
) -> Iterator[Stack]:
    """The same for all tests of a file."""
    with Stack(tmp_path_factory.mktemp("stack"), server.url) as running:
        yield running


@pytest.fixture
async def bench(settings: Settings, session_id: str) -> AsyncIterator[Bench]:
    """A worker's inside in this process."""
    async with open_bench(settings, session_id) as bench:
        yield bench

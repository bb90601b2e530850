"""What all tests share: one real server, and settings that keep tests apart."""

from __future__ import annotations

import compileall
from collections.abc import AsyncIterator, Iterator
from itertools import compress
from operator import not_
from pathlib import Path
from typing import Final

import pytest

from bench import Bench, open_bench
from object_storage import ObjectStorage, running_object_storage
from stack import COVERAGE, SharedGateway, Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from topologies import FULL, Topologies, topologies_beside

pytest_plugins = ["stepwire.testing"]

TESTS: Final = Path(__file__).parent
PROCESS_FIXTURES: Final = {"stack", "shared_stack", "storage"}
BROWSER_FIXTURES: Final = {"browser", "inspector"}
STARTS_PROCESSES: Final = {
    "Child",
    "ProcessPoolExecutor",
    "Stack",
    "embedded_server",
    "get_context",
    "multiprocessing",
    "subprocess",
}
"""Names that a module imports when a test of it starts a process or a server by itself."""


MEASURED: Final = {"test_delivery.py", "test_stopping.py"}
"""Files whose processes are measured, too: all others start the same ones once more. So is the
gateway that many tests share."""


@pytest.fixture(scope="session", autouse=True)
def unmeasured_processes() -> Iterator[None]:
    """Coverage follows into no process that is not told to (``stack.COVERAGE``)."""
    with pytest.MonkeyPatch.context() as patch:
        for name in COVERAGE:
            patch.delenv(name)
        yield


def is_measured(test: Path) -> bool:
    return test.name in MEASURED


def pytest_configure(config: pytest.Config) -> None:
    """Compile our modules once, where the environment forbids it to each process that runs them.

    The tests start some hundred processes, and compiling takes each a third of its start. What the
    tests write themselves stays uncompiled: a file that is changed twice in a second might be taken
    for what it was before.
    """
    if not hasattr(config, "workerinput"):
        for folder in ("worker", "shared", "gateway", "cli"):
            compileall.compile_dir(TESTS.parent / folder, quiet=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a process or a browser, so that ``make test-fast`` leaves it out.

    Nobody has to remember a marker: a fixture, or what the test's module imports, says it.
    """
    if not FULL:
        leave_out_long(config, items)
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        imported = dir(getattr(item, "module", None))
        if fixtures & BROWSER_FIXTURES:
            item.add_marker("browser")
        starts_processes = STARTS_PROCESSES.intersection(imported)
        if starts_processes or fixtures & (PROCESS_FIXTURES | BROWSER_FIXTURES):
            item.add_marker("process")


def leave_out_long(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_long = [item.get_closest_marker("long") is not None for item in items]
    config.hook.pytest_deselected(items=[*compress(items, is_long)])
    items[:] = compress(items, map(not_, is_long))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A real server for the whole test run; every test uses sessions and queues of its own."""
    with embedded_server() as running:
        yield running


@pytest.fixture(scope="session")
def topologies(server: EmbeddedServer) -> Iterator[Topologies]:
    """Clusters, Sentinels and servers of other versions, for tests that change nothing in them."""
    with topologies_beside(server) as running:
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


@pytest.fixture(scope="session")
def gateway_of_all(
    tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer
) -> Iterator[SharedGateway]:
    """See ``Stack.shared_gateway``."""
    # One process for many tests: it is measured.
    with SharedGateway(tmp_path_factory.mktemp("gateway"), server.url, measured=True) as shared:
        yield shared


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server: EmbeddedServer,
    gateway_of_all: SharedGateway,
) -> Iterator[Stack]:
    """Workers and gateways as processes of their own."""
    with Stack(tmp_path, server.url, gateway_of_all, measured=is_measured(request.path)) as running:
        yield running


@pytest.fixture(scope="module")
def shared_stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    server: EmbeddedServer,
) -> Iterator[Stack]:
    """The same for all tests of a file."""
    folder, measured = tmp_path_factory.mktemp("stack"), is_measured(request.path)
    with Stack(folder, server.url, measured=measured) as running:
        yield running


@pytest.fixture
async def bench(settings: Settings, session_id: str) -> AsyncIterator[Bench]:
    """A worker's inside in this process."""
    async with open_bench(settings, session_id) as bench:
        yield bench

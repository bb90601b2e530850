"""One engine and one project for all tests of this folder: to make them takes minutes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

from compose.engine import Engine, running_engine, why_there_is_none
from compose.follower import Crowd
from compose.images import make_base_images
from compose.project import Project, copy_of_the_project
from stepwire_cli.dev.embedded_server import free_port

FOLDER: Final = Path(__file__).parent

WANTED: Final = "STEPWIRE_TEST_CONTAINERS"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only where they are asked for: they take minutes, and may install packages."""
    mine = [item for item in items if FOLDER in item.path.parents]
    if not mine:
        return
    for item in mine:
        # The first one needs an engine, base images and the project's own images.
        item.add_marker(pytest.mark.timeout(900))
    why = why_there_is_none() if os.environ.get(WANTED) else "these take minutes: make containers"
    if why:
        # One line for all of them.
        first, *others = mine
        first.add_marker(pytest.mark.skip(reason=why))
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    # Not pytest's folder: a socket has a short path, and an engine's data are not worth keeping.
    folder = Path(mkdtemp(prefix="stepwire-"))
    try:
        with running_engine(folder) as (engine, packages):
            if packages is not None:
                make_base_images(engine, packages, folder)
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def project(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with authentication, a handler with a package and a key of its own, all healthy."""
    folder = copy_of_the_project(tmp_path_factory.mktemp("project"))
    api_key = secrets.token_hex(32)
    (folder / ".env").write_text(
        f"STEPWIRE_AUTH_SECRETS={secrets.token_hex(32)}\nSTEPWIRE_API_KEYS={api_key}\n"
    )
    (folder / "worker.env").write_text("HANDLER_KEY=of the handler\n")
    port = free_port()
    env = {
        "APP_DIR": str(FOLDER / "app"),
        "APP": "app.py",
        "WORKER_REQUIREMENTS": (FOLDER / "app/requirements.txt").read_text(),
        "WORKER_IMAGE": "stepwire-test-worker",
        "GATEWAY_IMAGE": "stepwire-test-gateway",
        "PUBLISH": f"127.0.0.1:{port}",
        "STEPWIRE_LEASE_S": "4",
        "STEPWIRE_PING_S": "1",
        "STEPWIRE_GRACE_S": "20",
    }
    project = Project(f"stepwire-test-{port}", folder, engine, port, api_key, env)
    project.compose("build")
    try:
        project.up(workers=3, gateways=2)
        yield project
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
        for image in (env["WORKER_IMAGE"], env["GATEWAY_IMAGE"], "stepwire-test-own"):
            engine.docker("image", "rm", image, check=False)


@pytest.fixture
async def crowd(project: Project) -> AsyncIterator[Callable[[int], Crowd]]:
    """Makes followers whose runs count so far."""
    async with AsyncExitStack() as crowds:

        def make(numbers: int) -> Crowd:
            crowd = Crowd(project, numbers)
            crowds.push_async_callback(crowd.close)
            return crowd

        yield make

"""A deployment in the middle of an upgrade: workers and gateways of two versions side by side."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from cluster import cluster
from outage import APP as CHAT
from outage import assert_whole, following
from stack import Stack, wait_until

ROOT: Final = Path(__file__).parents[2]

PREVIOUS: Final = "28224e9babc7320e0b28def8372ec6407c3cb545"
"""The commit of the release before this one (CONTRIBUTING.md); until the first release, a commit
that has been in use."""

WITH_PLAIN_CHANNELS: Final = "6c1001f4ffaddc974429944677871a13e8d57275"
"""The last commit whose sessions publish on plain channels on a cluster, too; until that of
:data:`PREVIOUS` is younger."""

FOLDERS: Final = ("worker", "gateway", "shared", "cli")

APP = """
import asyncio
import pathlib
import stepwire as cl

OWN = str(pathlib.Path(cl.__file__).parents[2])

@cl.on_message
async def answer(message):
    async with cl.Step("who") as step:
        step.output = OWN
    reply = cl.Message("")
    for word in ("Hello ", message.content):
        await reply.stream_token(word)
    await reply.send()

@cl.task
async def part(number):
    async with cl.Step(f"part {number}"):
        return number * 2

@cl.task(max_attempts=3)
async def whole():
    async with cl.Step("whole") as step:
        step.output = OWN
        await asyncio.gather(*(cl.enqueue(part, number) for number in range(3)))
        if not pathlib.Path("go").exists():
            pathlib.Path("held").touch()
            await asyncio.Event().wait()
"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where its packages are."""
    return packages_of(PREVIOUS, tmp_path_factory.mktemp("previous"))


def packages_of(commit: str, folder: Path) -> Path:
    """The folder, with what stands in that commit."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not here")
    packed = subprocess.run(
        [git, "-C", str(ROOT), "archive", commit, *FOLDERS],
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        pytest.skip("this copy of the repository does not have the previous release")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    # The built page is not in the repository, and a gateway does not start without it.
    page = Path("gateway", "stepwire_gateway", "inspector")
    shutil.copytree(ROOT / page, folder / page, dirs_exist_ok=True)
    return folder


def running(packages: Path) -> dict[str, str]:
    """The environment of a process that runs these."""
    return {"PYTHONPATH": os.pathsep.join(str(packages / folder) for folder in FOLDERS)}


def test_versions_run_side_by_side(stack: Stack, previous: Path) -> None:
    """One after the other is replaced, and no run, no step and no event is lost."""
    old = running(previous)
    app = stack.folder / "app.py"
    app.write_text(
        APP.replace('"go"', repr(str(stack.folder / "go"))).replace(
            '"held"', repr(str(stack.folder / "held"))
        )
    )
    # What this one adds to requests and jobs meets the one that does not know it.
    new_gateway = stack.gateway(port=None)
    old_gateway = stack.gateway(port=None, **old)
    old_worker = stack.worker(app, **old)
    span = f"00-{'a' * 32}-{'b' * 16}-01"
    new_gateway.client.headers["traceparent"] = span
    session = new_gateway.create_session()
    sent = new_gateway.send(session, "you")
    assert new_gateway.wait_for_end(session, sent["run_id"])["status"] == "ok"
    under_way = new_gateway.start(session, "whole")
    wait_until((stack.folder / "held").exists, "it runs on the old worker")
    new_worker = stack.worker(app, STEPWIRE_METRICS_PORT="0")
    (stack.folder / "go").touch()
    assert old_worker.stop() == 0
    # The new worker goes on with what the old one had to leave.
    run = old_gateway.wait_for_end(session, under_way)
    assert (run["status"], run["attempt"]) == ("ok", 2)
    again = old_gateway.send(session, "again")
    assert old_gateway.wait_for_end(session, again["run_id"])["status"] == "ok"
    assert new_worker.exit_code is None
    # A gateway of either version reads the same.
    snapshot = new_gateway.snapshot(session)
    assert snapshot == old_gateway.snapshot(session)
    by = [step["output"] for step in snapshot["steps"] if step["name"] in ("who", "whole")]
    assert by == [str(previous), str(previous), str(ROOT), str(ROOT)]
    assert {step["status"] for step in snapshot["steps"]} == {"ok", "interrupted"}
    said = [step["output"] for step in snapshot["steps"] if step["type"] == "assistant_message"]
    assert said == ["Hello you", "Hello again"]


@pytest.mark.anyio
@pytest.mark.long
async def test_on_a_cluster_a_gateway_of_either_version_reads_what_a_worker_of_the_other_says(
    stack: Stack, tmp_path: Path
) -> None:
    """Neither hears the other's news: it finds them when it looks at the ends of the logs."""
    old = running(packages_of(WITH_PLAIN_CHANNELS, tmp_path))
    with cluster() as nodes:
        stack.env |= {"STEPWIRE_QUEUE_URL": stack.env["STEPWIRE_REDIS_URL"]}
        stack.env |= {"STEPWIRE_REDIS_URL": nodes.url}
        gateways = stack.gateway(port=None, **old), stack.gateway(port=None)
        for worker_env in (old, {}):
            worker = stack.worker(CHAT, **worker_env)
            session = gateways[0].create_session()
            async with (
                following(gateways[0], [session]) as [first],
                following(gateways[1], [session]) as [second],
            ):
                await asyncio.to_thread(gateways[0].send, session, "30")
            for gateway, client in zip(gateways, (first, second), strict=True):
                assert_whole(gateway, session, client, 30)
            assert worker.stop() == 0

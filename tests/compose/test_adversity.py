"""Streams go on, whatever happens to the containers: the README's promises, as compose runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from compose.follower import LIMIT_S, Crowd
from compose.project import Project
from stack import wait_until

pytestmark = pytest.mark.anyio

Crowds = Callable[[int], Crowd]

COUNT = 40
"""Four seconds of a run: what happens, happens in the middle of it."""


async def test_a_gateway_that_is_killed_costs_its_clients_nothing(
    project: Project, crowd: Crowds
) -> None:
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start("gateway", 6)
        await asyncio.to_thread(project.crash, project.container("gateway", 1))
        await clients.finish()
    assert sum(follower.connections for follower in clients.followers) > 6
    project.wait_until_healthy(project.container("gateway", 1))


async def test_the_runs_of_a_worker_that_is_killed_are_done_by_another(
    project: Project, crowd: Crowds
) -> None:
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start("worker", 6)
        busy = clients.followers[0].output("host")  # a container's id
        await asyncio.to_thread(project.crash, busy)
        await clients.finish()
    assert max(follower.run["attempt"] for follower in clients.followers if follower.run) == 2
    project.wait_until_healthy(busy)


async def test_a_worker_that_is_stopped_ends_its_runs_first(
    project: Project, crowd: Crowds
) -> None:
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start("stopped", 3)
        busy = clients.followers[0].output("host")
        await asyncio.to_thread(project.engine.docker, "stop", busy)
        await clients.finish()
    assert project.inspect(busy)["State"]["ExitCode"] == 0
    assert {follower.run["attempt"] for follower in clients.followers if follower.run} == {1}
    project.engine.docker("start", busy)


@pytest.mark.parametrize("way", ["restart", "crash"])
async def test_a_redis_that_comes_back_has_kept_everything_that_clients_saw(
    project: Project, crowd: Crowds, way: str
) -> None:
    redis = project.container("redis")
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start(f"redis-{way}", 2)
        if way == "crash":
            await asyncio.to_thread(project.crash, redis)
        else:
            await asyncio.to_thread(project.engine.docker, "restart", redis)
        await clients.finish()
    project.wait_until_healthy(redis)


async def test_the_proxy_stops_at_once_and_its_clients_come_back(
    project: Project, crowd: Crowds
) -> None:
    proxy = project.container("proxy")
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start("proxy", 3)
        # Its own signal would wait for the open streams until it is killed: 137.
        await asyncio.to_thread(project.engine.docker, "stop", proxy)
        assert project.inspect(proxy)["State"]["ExitCode"] == 0
        await asyncio.to_thread(project.engine.docker, "start", proxy)
        await clients.finish()


async def test_clients_of_a_gateway_that_is_frozen_are_sent_to_another(
    project: Project, crowd: Crowds
) -> None:
    async with asyncio.timeout(LIMIT_S):
        clients = crowd(COUNT)
        await clients.start("frozen", 6)
        with _paused(project, project.container("gateway", 2)):
            await clients.end()
        await clients.finish()
    assert sum(follower.connections for follower in clients.followers) > 6


async def test_what_is_asked_while_no_gateway_is_there_gets_a_problem_or_a_wait(
    project: Project, crowd: Crowds
) -> None:
    gateways = [project.container("gateway", number) for number in (1, 2)]
    with project.client() as client:
        client.post("/v1/sessions", json={"id": "alone"}).raise_for_status()
        project.engine.docker("kill", *gateways)
        try:
            answer = client.post("/v1/sessions/alone/messages", json={"content": "1"})
            # Which one it is depends on the engine's network: whether it refuses or drops.
            codes = {502: "gateway_unavailable", 504: "gateway_timeout"}
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == codes[answer.status_code]
            assert answer.headers["retry-after"]
            for path in ("/v1/sessions/alone/events", "/v1/events"):
                stream = client.get(path)
                assert stream.headers["content-type"] == "text/event-stream"
                assert "retry: 3000" in stream.text
        finally:
            project.engine.docker("start", *gateways)
            for gateway in gateways:
                project.wait_until_healthy(gateway)


async def test_no_worker_is_unhealthy_because_redis_is_away(
    project: Project, crowd: Crowds
) -> None:
    redis, worker = project.container("redis"), project.container("worker", 1)
    started = project.inspect(worker)["State"]["StartedAt"]
    probes = len(_probes(project, worker))
    with _paused(project, redis):
        # The last of them began after Redis had gone.
        wait_until(lambda: len(_probes(project, worker)) >= min(probes + 2, 5), "probes", LIMIT_S)
        assert {probe["ExitCode"] for probe in _probes(project, worker)[-2:]} == {0}
    state = project.inspect(worker)["State"]
    assert (state["StartedAt"], state["Health"]["Status"]) == (started, "healthy")
    for number in (1, 2):
        project.wait_until_healthy(project.container("gateway", number))


def test_sessions_are_there_in_a_new_container_of_redis(project: Project) -> None:
    redis = project.container("redis")
    with project.client() as client:
        client.post("/v1/sessions", json={"id": "kept"}).raise_for_status()
        before = project.inspect(redis)["Id"]
        project.compose("rm", "--stop", "--force", "redis")
        project.compose("up", "--detach", "--no-deps", "--wait", "redis")
        assert project.inspect(redis)["Id"] != before
        for number in (1, 2):
            project.wait_until_healthy(project.container("gateway", number))
        assert client.get("/v1/sessions/kept").status_code == httpx.codes.OK


@contextmanager
def _paused(project: Project, container: str) -> Iterator[None]:
    project.engine.docker("pause", container)
    try:
        yield
    finally:
        project.engine.docker("unpause", container)


def _probes(project: Project, container: str) -> list[dict[str, object]]:
    return list(project.inspect(container)["State"]["Health"]["Log"])

"""A client as a browser is one: it comes back, and notices what is missing."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from compose.project import Project
from sse import Client, Received, assert_dense

RECONNECT_S: Final = 0.3
LIMIT_S: Final = 90


class Follower:
    """Follows one session until the last run in it has ended."""

    def __init__(self, http: httpx.AsyncClient, session: str) -> None:
        self.session = session
        self.client = Client()
        self.connections = 0
        self._http = http

    @property
    def path(self) -> str:
        return f"/v1/sessions/{self.session}"

    async def follow(self) -> None:
        """Read until the run has ended for good, over as many connections as that takes."""
        while not self.run or self.run["status"] == "running" or self.run["will_retry"]:
            self.connections += 1
            try:
                await self.client.read(self._http, f"{self.path}/events", _ends_for_good)
            except httpx.TransportError:
                await asyncio.sleep(RECONNECT_S)

    @property
    def run(self) -> dict[str, Any] | None:
        """That of the message."""
        runs = self.client.view.runs.values()
        return next((run for run in runs if run["handler"] == "on_message"), None)

    def output(self, name: str) -> str:
        """That of the last step of this name: a run that is tried again begins new ones."""
        steps = self.client.view.steps.values()
        return str([step["output"] for step in steps if step["name"] == name][-1])


def _ends_for_good(event: Received) -> bool:
    return event.type == "run.end" and not event.data["will_retry"]


class Crowd:
    """Some followers, each of a session with a run that counts."""

    def __init__(self, project: Project, numbers: int) -> None:
        self._project = project
        self._numbers = numbers
        self._http = httpx.AsyncClient(
            base_url=project.url, headers=project.headers, timeout=LIMIT_S
        )
        self._reading: list[asyncio.Task[None]] = []
        self.followers: list[Follower] = []

    async def start(self, name: str, size: int) -> None:
        """Return when every run is under way, and seen."""
        for number in range(size):
            follower = Follower(self._http, f"{name}-{number}")
            created = await self._http.post("/v1/sessions", json={"id": follower.session})
            assert created.is_success, created.text
            self._reading.append(asyncio.create_task(follower.follow()))
            self.followers.append(follower)
        for follower in self.followers:
            await follower.client.connected.wait()
            message = {"content": str(self._numbers)}
            sent = await self._http.post(f"{follower.path}/messages", json=message)
            assert sent.is_success, sent.text
        for follower in self.followers:
            await follower.client.underway.wait()

    async def end(self) -> None:
        """Return when each has seen the end of its run."""
        await asyncio.gather(*self._reading)

    async def finish(self) -> None:
        """Each has seen everything, once, in order, and a newcomer is shown the same."""
        await self.end()
        for follower in self.followers:
            assert_dense(follower.client.received)
            assert follower.run
            assert follower.run["status"] == "ok"
            expected = "".join(f"<{number}>" for number in range(self._numbers))
            assert follower.output("count") == expected
            snapshot = (await self._http.get(follower.path)).raise_for_status().json()
            assert follower.client.view.same_as(snapshot)

    async def close(self) -> None:
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self._http.aclose()

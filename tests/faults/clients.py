"""The clients: each sends what it has to send until it is taken, and waits until it is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx

from faults.verdict import Posted
from faults.work import Work
from stack import Gateway
from stepwire_cli.dev.child_processes import Child


@dataclass(slots=True)
class Fleet:
    """The workers of one queue, with the gateway that fills it."""

    queue: str
    max_attempts: int
    size: int
    gateway: Gateway
    env: dict[str, str]
    workers: list[Child] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """One client: it sends its next message when the last one is answered, or all at once."""

    session_id: str
    fleet: Fleet
    works: list[Work]
    is_hasty: bool
    posted: list[Posted] = field(default_factory=list)


@dataclass(slots=True)
class Harassment:
    """One client that starts hostile runs, one after another."""

    task: str
    fleet: Fleet
    repeats: int
    run_ids: list[str] = field(default_factory=list)

    @property
    def session_id(self) -> str:
        return f"hostile-{self.task}"


class Clients:
    """What they do, each in a thread of its own, until a time by which all must be over."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def talk(self, conversation: Conversation) -> None:
        """Send its messages, each when the last is answered, or all at once."""
        gateway = conversation.fleet.gateway
        with httpx.Client(base_url=gateway.url, timeout=15) as client:
            path = f"/v1/sessions/{conversation.session_id}"
            self._post(client, "/v1/sessions", {"id": conversation.session_id})
            for number, work in enumerate(conversation.works):
                body = {"content": work.to_json(), "id": f"{conversation.session_id}.m{number}"}
                run_id = self._post(client, f"{path}/messages", body)["run_id"]
                posted = Posted(run_id, work, conversation.fleet.max_attempts)
                conversation.posted.append(posted)
                if not conversation.is_hasty:
                    self._wait_for_end(client, path, run_id)
            for posted in conversation.posted:
                self._wait_for_end(client, path, posted.run_id)

    def harass(self, harassment: Harassment) -> None:
        """Start its runs, one after another."""
        with httpx.Client(base_url=harassment.fleet.gateway.url, timeout=15) as client:
            path = f"/v1/sessions/{harassment.session_id}"
            self._post(client, "/v1/sessions", {"id": harassment.session_id})
            for number in range(harassment.repeats):
                body = {"task": harassment.task, "id": f"{harassment.task}-{number}"}
                run_id = self._post(client, f"{path}/runs", body)["run_id"]
                harassment.run_ids.append(run_id)
                self._wait_for_end(client, path, run_id)

    def _wait_for_end(self, client: httpx.Client, path: str, run_id: str) -> None:
        while not self._ended(client, path, run_id) and time.monotonic() < self._deadline:
            time.sleep(0.25)

    def _post(self, client: httpx.Client, path: str, body: dict[str, str]) -> dict[str, str]:
        """Again until it is taken: every request here is repeatable."""
        while True:
            try:
                response = client.post(path, json=body)
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                if response.is_success:
                    accepted: dict[str, str] = response.json()
                    return accepted
                problem = response.text
            if time.monotonic() > self._deadline:
                raise AssertionError(f"{path} was not taken: {problem}")
            time.sleep(0.2)

    @staticmethod
    def _ended(client: httpx.Client, path: str, run_id: str) -> bool:
        try:
            response = client.get(path)
        except httpx.TransportError:
            return False
        runs = response.json()["runs"] if response.is_success else []
        return any(
            run["run_id"] == run_id and run["status"] != "running" and not run["will_retry"]
            for run in runs
        )

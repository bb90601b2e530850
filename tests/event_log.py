"""What writes to the event log in tests: a producer, and a log with one session."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from documents import a_step, an_element
from stepwire_core.log.event_log import Appended, Batch, EventLog
from stepwire_core.log.scripts import ENTRY_BYTES
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import StandaloneStore
from stepwire_core.redis.store import Store
from stepwire_core.settings import Settings
from stepwire_core.wire.documents import Snapshot, StepDocument
from stepwire_core.wire.events import NewEvent, element_event, step_event
from topologies import FULL, TOPOLOGIES, on_each

on_a_server = pytest.mark.parametrize(
    "log", on_each(*(TOPOLOGIES if FULL else ["standalone"])), indirect=True
)
"""For tests of the fixture ``log`` that would take many times as long on fakeredis; on the other
kinds of server they run in ``make faults``."""


def client_of(store: Store) -> Redis:
    """The client of a store, to look at what no seam shows."""
    assert isinstance(store, StandaloneStore)
    return store.redis


class Writer:
    """One producer, which numbers its events, as a publisher does."""

    def __init__(
        self,
        log: EventLog,
        session_id: str,
        *,
        run_id: str = "",
        attempt: int = 0,
        name: str = "producer",
    ) -> None:
        self.log = log
        self.session_id = session_id
        self.run_id = run_id
        self.attempt = attempt
        self.name = name
        self.written = 0
        self.known_epoch = ""

    def batch(self, *events: NewEvent, **fields: Any) -> Batch:
        """The next batch, not sent; ``fields`` are those of :class:`Batch`."""
        batch = Batch(
            self.session_id,
            events,
            producer=self.name,
            first=self.written + 1,
            known_epoch=self.known_epoch,
            run_id=self.run_id,
            attempt=self.attempt,
        )
        return replace(batch, **fields)

    async def put(self, *events: NewEvent, **fields: Any) -> Appended:
        """Append these as one call."""
        appended = await self.log.append(self.batch(*events, **fields))
        self.written += len(events)
        self.known_epoch = str(appended.top.epoch)
        return appended

    async def repeat(self, event: NewEvent) -> Appended:
        """Append the last event once more, as after an answer that was lost."""
        return await self.log.append(self.batch(event, first=self.written))


class Log(Writer):
    """An event log with one session, and one producer in the first attempt of its run."""

    def __init__(
        self, store: Store, settings: Settings, session_id: str, redis: Redis | None = None
    ) -> None:
        """``redis`` leads to the server that has the session; by default that of the store."""
        self.store = store
        self.redis = redis or client_of(store)
        self.settings = settings
        super().__init__(EventLog(store, settings), session_id, run_id="run", attempt=1)

    async def lose_the_life(self) -> None:
        """Make the server forget what it remembers of its process, as a restart does."""
        await self.redis.execute_command("FUNCTION FLUSH")

    def step(self, step_id: str, parent: str | None = None, **fields: object) -> StepDocument:
        own = {"parent_id": parent, "run_id": self.run_id, "attempt": self.attempt}
        return a_step(self.session_id, step_id, **own | fields)

    def start(self, step_id: str, parent: str | None = None, **fields: object) -> NewEvent:
        return step_event("step.start", self.step(step_id, parent, **fields))

    def element(self, element_id: str, step: str | None) -> NewEvent:
        return element_event(
            an_element(self.session_id, element_id, step_id=step, run_id=self.run_id)
        )

    async def elements(self) -> list[str]:
        return [element.id for element in (await self.snapshot()).elements]

    async def snapshot(self) -> Snapshot:
        return await self.log.snapshot(self.session_id)

    async def outputs(self) -> dict[str, str]:
        return {step.id: step.output for step in (await self.snapshot()).steps}

    async def keys(self) -> set[str]:
        found = await self.redis.keys(f"*{self.session_id}*")
        return {key.decode().rpartition("}:")[2] for key in found}


KEPT_ENTRIES = {b"p:": 1, b"r:": 2, b"q:": 1, b"k:": 1, b"a:": 1, b"x:": 1}
"""What fields of ``meta`` count for: with the fence of a run the wish to cancel it."""


async def counted(redis: Redis, session_id: str) -> tuple[int, int]:
    """The steps and bytes of a session as its counters say."""
    reply = redis.hmget(SessionKeys.of(session_id).meta, ["steps", "bytes"])
    steps, size = await cast("Awaitable[list[bytes | None]]", reply)
    return int(steps or 0), int(size or 0)


async def recounted(redis: Redis, session_id: str) -> tuple[int, int]:
    """The same, by looking at everything."""
    keys = SessionKeys.of(session_id)
    state = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keys.state))
    state.pop(b".", None)  # what marks it as not lost
    values = list(state.values())
    for key in (keys.files, f"{keys.channel}:user"):
        values += (await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(key))).values()
    durable = await cast("Awaitable[list[bytes]]", redis.hkeys(f"{keys.channel}:durable"))
    for run in durable:
        results = await cast(
            "Awaitable[dict[bytes, bytes]]", redis.hgetall(keys.durable(run.decode()))
        )
        values += [b"", *results.values()]
    for member in await cast("Awaitable[list[bytes]]", redis.hkeys(keys.open)):
        values.append(await redis.get(f"{keys.channel}:out:{member.decode()}"))
    meta = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keys.meta))
    kept = sum(KEPT_ENTRIES.get(field[:2], 0) for field in meta)
    steps = sum(field.startswith(b"s:") for field in state)
    return steps, sum(map(len, values)) + ENTRY_BYTES * (len(values) + kept)

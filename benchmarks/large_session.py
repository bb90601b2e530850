"""How long one call holds up Redis, in a session and a queue at their limits.

By the server's own latency tracking (``INFO latencystats``): what 95 of 100 script calls of an
operation take at most; most of them are one call or a few, of which that is the longest. Beside it
200 appends of one token to a small session, in the same run: what the machine's other work does to
a call shows in both.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from in_process import client_of
from rounds import Row, table
from stepwire._worker.queue_client import Claims
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.errors import RunWaits
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.log.script_calls import Registration
from stepwire_core.log.scripts import REGISTER
from stepwire_core.queue.run_queue import RunQueue
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.clock import now
from stepwire_core.wire.documents import StepDocument
from stepwire_core.wire.events import NewEvent, delta_event, remove_event, step_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import user_message

SESSION = "large"
LIMIT = 50
"""Of the handler whose jobs wait."""


@dataclass(frozen=True, slots=True)
class Sizes:
    steps: int
    parts: int
    jobs: int
    large_jobs: int
    turns: int


def _step(step_id: str, parent: str | None) -> StepDocument:
    moment = now()
    return StepDocument(
        id=step_id,
        session_id=SESSION,
        run_id=None,
        attempt=0,
        parent_id=parent,
        name="search",
        type="tool",
        status="ok",
        output="x" * 500,
        started_at=moment,
        ts=moment,
    )


class Large:
    """A session and a queue in which there is much."""

    def __init__(self, log: EventLog, settings: Settings, sizes: Sizes) -> None:
        self.log = log
        self.redis = client_of(log.store)
        self.settings = settings
        self.sizes = sizes
        self.written = 0
        self.queue = RunQueue(log.store, settings.queue_name)
        self.claims = Claims(log.store, settings, {"slow": LIMIT})

    async def append(self, *events: NewEvent) -> None:
        first, self.written = self.written + 1, self.written + len(events)
        await self.log.append(Batch(SESSION, events, producer="p", first=first, create=True))

    async def fill(self) -> None:
        """Half of the steps are below one of them, the others beside it."""
        steps = [_step("root", None)]
        steps += [
            _step(f"step-{number:032}", "root" if number % 2 else None)
            for number in range(self.sizes.steps - 1)
        ]
        for start in range(0, len(steps), 200):
            await self.append(
                *(step_event("step.start", step) for step in steps[start : start + 200])
            )
        await self.log.register_run(SESSION, "caller", "work")
        for number in range(self.sizes.parts):
            part = Registration(SESSION, f"part-{number}", "work", parent_run_id="caller")
            keys = SessionKeys.of(part.session_id).script_keys
            await self.log.store.call(REGISTER.on(keys, part.script_args(self.settings)))
        for number in range(self.sizes.turns):
            await self.log.register_run(SESSION, f"turn-{number}", "work", turn="on_message")
        await self.enqueue(LIMIT, "first", 0)
        await self.claims.claim(LIMIT, [])

    async def enqueue(self, count: int, name: str, chars: int) -> None:
        for number in range(count):
            message = user_message(SESSION, f"m-{number}", "x" * chars, run_id="run")
            await self.queue.enqueue(
                RunRequest(
                    session_id=SESSION, run_id=f"{name}-{number}", handler="slow", message=message
                )
            )

    async def small_appends(self) -> None:
        batch = Batch("small", [step_event("step.start", _step("step", None))], create=True)
        await self.log.append(batch)
        for number in range(200):
            token = Batch("small", [delta_event("step", "token ")], producer="p", first=number + 1)
            await self.log.append(token)

    async def remove_one(self) -> None:
        await self.append(remove_event(f"step-{0:032}"))

    async def remove_many(self) -> None:
        await self.append(remove_event("root"))

    async def cancel(self) -> None:
        await self.log.cancel_run(SESSION, "caller")

    async def claim(self) -> None:
        await self.claims.claim(10, [])

    async def wait_for_turn(self) -> None:
        last = f"turn-{self.sizes.turns - 1}"
        try:
            await self.log.begin_run(SESSION, last, "token", turn="on_message")
        except RunWaits:
            return

    async def snapshot(self) -> None:
        await self.log.snapshot(SESSION)

    async def p95_ms(self, work: Callable[[], Awaitable[None]]) -> float:
        await self.redis.config_resetstat()
        await work()
        stats: dict[str, Any] = await self.redis.info("latencystats")
        calls = [stats.get(f"latency_percentiles_usec_{name}") for name in ("evalsha", "fcall")]
        return max(float(of["p95"]) for of in calls if of) / 1000


async def _round(sizes: Sizes) -> dict[str, float]:
    with embedded_server() as server:
        settings = Settings(redis_url=server.url, session_max_steps=2 * sizes.steps)
        async with open_log(settings) as log:
            large = Large(log, settings, sizes)
            await large.redis.config_set("latency-tracking-info-percentiles", "95")
            await large.fill()
            took = {"small": await large.p95_ms(large.small_appends)}
            for name in ("snapshot", "remove_one", "remove_many", "cancel", "wait_for_turn"):
                took[name] = await large.p95_ms(getattr(large, name))
            await large.enqueue(sizes.jobs, "waits", 100)
            took["claim"] = await large.p95_ms(large.claim)
            await large.enqueue(sizes.large_jobs, "large", 100_000)
            took["claim_large"] = await large.p95_ms(large.claim)
            return took


def measure(*, short: bool = False) -> list[Row]:
    sizes = Sizes(200, 20, 200, 5, 20) if short else Sizes(20_000, 5_000, 20_000, 500, 5_000)
    took = [asyncio.run(_round(sizes)) for _ in range(1 if short else 5)]
    what = {
        "remove_one": f"one step of {sizes.steps:,} is removed",
        "remove_many": f"a step with {sizes.steps // 2:,} below it is removed",
        "cancel": f"a run with {sizes.parts:,} parts is cancelled",
        "wait_for_turn": f"a run begins to wait behind {sizes.turns:,}",
        "claim": f"a claim with {sizes.jobs:,} jobs behind a full limit",
        "claim_large": f"a claim with {sizes.large_jobs:,} jobs of 100 kB behind a full limit",
        "snapshot": f"a snapshot of {sizes.steps:,} steps of 500 B",
    }
    peer = [each["small"] for each in took]
    return [
        Row(
            f"calls (p95): {text}",
            "ms",
            [each[name] for each in took],
            "200 small appends (p95)",
            peer,
            "<= 5 ms",
        )
        for name, text in what.items()
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

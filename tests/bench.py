"""A worker's inside in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire._transport.publisher import Publisher
from stepwire_core.log.event_log import EventLog, LogTail, open_log
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import RunDocument, Snapshot, StepDocument
from stepwire_core.wire.run_request import RunRequest


@dataclass
class Bench:
    """Runs a handler as the worker does, and reads back what was stored."""

    settings: Settings
    log: EventLog
    publisher: Publisher
    session_id: str

    async def run(
        self,
        function: Callable[..., Any],
        *,
        message: StepDocument | None = None,
        run_id: str | None = None,
        retry_of: str | None = None,
        **arguments: Any,
    ) -> RunDocument:
        """Execute one attempt; the run as it stands in the state afterwards."""
        name = "on_message" if message is not None else "task"
        with collecting() as handlers:
            handlers.add(name, function)
        request = RunRequest(
            session_id=self.session_id,
            run_id=run_id or new_id(),
            handler=name,
            message=message,
            arguments=arguments,
            retry_of=retry_of,
        )
        runner = Runner(handlers, self.log, self.publisher, self.settings)
        # Not wait_for: a cancellation from outside has to come back out of the runner itself.
        async with asyncio.timeout(30):
            await runner.execute(request)
        run = (await self.snapshot()).run(request.run_id)
        assert run is not None
        return run

    async def snapshot(self) -> Snapshot:
        return await self.log.snapshot(self.session_id)

    async def steps(self) -> dict[str, StepDocument]:
        """The steps by name, in order."""
        return {step.name: step for step in (await self.snapshot()).steps}

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """All events, as type and data."""
        top = Cursor.parse((await self.snapshot()).cursor)
        cursor, found = Cursor(top.epoch, 0), []
        while cursor != top:
            read = await self.log.read(self.session_id, cursor)
            assert isinstance(read, LogTail)
            found += [(event.type, json.loads(event.data)) for event in read.events]
            cursor = read.events[-1].cursor
        return found

    async def types(self) -> list[str]:
        return [type_ for type_, _ in await self.events()]

    async def tree(self) -> dict[str, str | None]:
        """Every step's name with the name of its parent."""
        steps = (await self.snapshot()).steps
        names = {step.id: step.name for step in steps}
        return {step.name: names.get(step.parent_id or "") for step in steps}


@asynccontextmanager
async def open_bench(settings: Settings, session_id: str) -> AsyncIterator[Bench]:
    """A bench with a new session; what was published is stored before it closes."""
    async with open_log(settings) as log:
        await log.create(session_id, new_id())
        publisher = Publisher(settings)
        try:
            yield Bench(settings, log, publisher, session_id)
        finally:
            await asyncio.to_thread(publisher.close)


@asynccontextmanager
async def publishing(
    settings: Settings, session_id: str
) -> AsyncIterator[tuple[Publisher, EventLog]]:
    """The publisher and the log of a bench, for tests without a handler."""
    async with open_bench(settings, session_id) as bench:
        yield bench.publisher, bench.log

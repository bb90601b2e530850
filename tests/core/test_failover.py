"""Another life of the data begins another epoch: restart, failover, and back again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from documents import a_step
from event_log import Writer, client_of
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import RunFenced, StoreUnavailable
from stepwire_core.log.event_log import Batch, EventLog, LogTail, NewJob, open_log
from stepwire_core.log.scripts import APPEND
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import NewEvent, step_event

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class Site:
    """A server with a log of its own, as clients have it whose address names this server."""

    def __init__(self, server: EmbeddedServer, log: EventLog) -> None:
        self.server = server
        self.log = log

    async def follow(self, other: Site) -> None:
        """Become a replica of that one, and wait until all of it is here."""
        await self._become("127.0.0.1", str(other.server.port))
        await self.has_all_of(other)

    async def has_all_of(self, other: Site) -> None:
        """Wait until this replica has what that one has."""
        async with asyncio.timeout(LIMIT_S):
            while not await self._is_equal_to(other):  # noqa: ASYNC110 - another process's event
                await asyncio.sleep(0.01)

    async def _is_equal_to(self, other: Site) -> bool:
        mine: dict[str, Any] = await client_of(self.log.store).info("replication")
        theirs: dict[str, Any] = await client_of(other.log.store).info("replication")
        is_up = mine["master_link_status"] == "up" and not mine["master_sync_in_progress"]
        return bool(is_up and mine["master_repl_offset"] == theirs["master_repl_offset"])

    async def lead(self) -> None:
        await self._become("NO", "ONE")

    async def _become(self, *of: str) -> None:
        await client_of(self.log.store).execute_command("REPLICAOF", *of)


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    with embedded_server(**options) as server:
        async with open_log(Settings(redis_url=server.url)) as log:
            await client_of(log.store).config_set("repl-diskless-sync-delay", "0")
            yield Site(server, log)


def start(step_id: str) -> NewEvent:
    return step_event("step.start", a_step("s", step_id))


def writer(at: Site) -> Writer:
    return Writer(at.log, "s")


async def test_after_a_failover_and_back_no_id_stands_for_two_events() -> None:
    """A, B, and A again, with nothing appended on B."""
    async with site() as a, site() as b:
        await a.log.create("s", "first")
        here = writer(a)
        await here.put(start("kept"))
        await b.follow(a)
        await b.lead()
        lost = (await here.put(start("lost"))).top
        await a.follow(b)
        await a.lead()
        # Another producer, so that no producer's own numbers tell of the loss.
        other = Writer(a.log, "s")
        new = (await other.put(start("other"), producer="q")).top
        assert new.epoch > lost.epoch
        read = await a.log.read("s", lost)
        assert isinstance(read, Snapshot)
        assert [step.id for step in read.steps] == ["kept", "other"]
        # The producer that had lost an event goes on.
        assert (await here.put(start("more"))).stored == 1


async def test_two_servers_that_go_on_from_one_state_begin_two_epochs_by_whatever_clock() -> None:
    """A is lost, and B leads; B is lost with all that it was told, and C leads: the epoch that all
    know is later than their clocks are."""
    async with site() as a, site() as b, site() as c:
        await a.log.create("s", "first")
        await writer(a).put(start("one"))
        ahead = str(time.time_ns() // 1_000_000 + 3_600_000)
        await a.log.store.call(command("HSET", SessionKeys.of("s").meta, "epoch", ahead))
        tops = []
        for other in (b, c):
            await other.follow(a)
        for other in (b, c):
            await other.lead()
            tops.append((await writer(other).put(start("two"))).top)
        assert tops[0].epoch != tops[1].epoch
        assert all(top.epoch > int(ahead) for top in tops)


async def test_after_a_failover_that_lost_nothing_everybody_gets_a_snapshot_once() -> None:
    async with site() as a, site() as b:
        await a.log.create("s", "first")
        here = writer(a)
        await here.put(start("one"))
        await b.follow(a)
        await b.lead()
        here.log = b.log
        old = Cursor.parse((await b.log.snapshot("s")).cursor)
        tops = [(await here.put(start(name))).top for name in ("two", "three")]
        assert tops[0].epoch == tops[1].epoch > old.epoch
        assert isinstance(await b.log.read("s", old), Snapshot)
        assert isinstance(await b.log.read("s", tops[0]), LogTail)


async def test_a_server_that_follows_and_leads_again_without_a_loss_keeps_its_epoch() -> None:
    """It went on from where it was, so no id can come again."""
    async with site() as a, site() as b:
        await a.log.create("s", "first")
        here = writer(a)
        await here.put(start("one"))
        await b.follow(a)
        before = (await here.put(start("two"))).top
        await b.has_all_of(a)
        await b.lead()
        await a.follow(b)
        await a.lead()
        after = (await here.put(start("three"))).top
        read = await a.log.read("s", before)
        if isinstance(read, LogTail):
            assert [event.cursor for event in read.events] == [(before.epoch, before.seq + 1)]
        else:
            assert after.epoch > before.epoch
        assert [step.id for step in (await a.log.snapshot("s")).steps] == ["one", "two", "three"]


@pytest.mark.parametrize("append_only", [False, True])
async def test_a_restart_begins_a_new_epoch(append_only: bool) -> None:
    async with site(append_only=append_only) as a:
        await a.log.create("s", "first")
        here = writer(a)
        seen = (await here.put(start("one"))).top
        await client_of(a.log.store).execute_command("SAVE")
        a.server.kill()
        a.server.start()
        batch = here.batch(start("two"))
        with suppress(StoreUnavailable):
            await a.log.append(batch)  # finds its connection closed
        assert (await a.log.append(batch)).top.epoch > seen.epoch


async def test_the_epoch_needs_no_right_to_ask_for_the_server() -> None:
    async with site() as a:
        rights = ("on", ">pw", "~stepwire:*", "&stepwire:*", "+@all", "-info", "-role")
        await client_of(a.log.store).execute_command("ACL", "SETUSER", "app", *rights)
        url = f"redis://app:pw@127.0.0.1:{a.server.port}/0"
        async with open_log(Settings(redis_url=url)) as log:
            await log.create("s", "first")
            epochs = {(await Writer(log, "s").put(start("one"))).top.epoch for _ in range(2)}
            assert len(epochs) == 1


async def test_two_versions_of_the_library_stand_side_by_side() -> None:
    """As during a deployment; each process loads its own, and none replaces another's."""
    async with site() as a:
        older = APPEND.source.replace(APPEND.name.encode()[:-7], b"stepwire_older")
        await client_of(a.log.store).execute_command("FUNCTION LOAD", older)
        await a.log.create("s", "first")
        await writer(a).put(start("one"))
        reply = client_of(a.log.store).execute_command("FUNCTION LIST")
        assert len(await cast("Awaitable[list[Any]]", reply)) == 2


async def test_append_and_submit_name_the_same_life() -> None:
    async with site() as a:
        await a.log.create("s", "first")
        queue_keys = ["stepwire:{s}:queue", "stepwire:{s}:wake"]
        job = NewJob(queue_keys, ["job", "{}", 0, 60_000, "0 - task"])
        first = await writer(a).put(start("one"))
        batch = Writer(a.log, "s").batch(start("two"), producer="q")
        assert (await a.log.append(batch, job)).top == (first.top.epoch, first.top.seq + 1)


async def test_two_attempts_of_one_number_are_told_apart_after_a_beginning_was_lost() -> None:
    """A server comes back without the beginning of an attempt, and gives its number to another."""
    async with site() as a:
        await a.log.create("s", "run")

        async def begun(token: str) -> Batch:
            found = await a.log.begin_run("s", "run", token)
            assert found.attempt == 1
            return Batch("s", [start(token)], found.producer, run_id="run", attempt=found.attempt)

        lost = await begun("lost")
        await a.log.store.call(command("HSET", SessionKeys.of("s").meta, "r:run", "0"))
        kept = await begun("kept")
        with pytest.raises(RunFenced):
            await a.log.append(lost)
        assert (await a.log.append(kept)).stored == 1


async def test_an_attempt_whose_beginning_was_lost_keeps_its_number_if_it_writes_first() -> None:
    async with site() as a:
        await a.log.create("s", "run")
        begun = await a.log.begin_run("s", "run", "token")
        await a.log.store.call(command("HSET", SessionKeys.of("s").meta, "r:run", "0"))
        batch = Batch("s", [start("one")], begun.producer, run_id="run", attempt=1)
        assert (await a.log.append(batch)).stored == 1
        assert (await a.log.begin_run("s", "run", "another")).attempt == 2

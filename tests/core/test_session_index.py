"""The index of sessions: by activity and by subject, bounded, right again after a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from documents import a_run
from event_log import Log
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import Batch
from stepwire_core.log.session_index import Position, SessionIndex, Wanted
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import INDEX, SessionKeys
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import run_end_event, run_start_event, title_event
from stepwire_core.wire.session_entry import SessionEntry, as_title, title_of_message

pytestmark = pytest.mark.anyio

TTL_US = 7 * 24 * 3600 * 1_000_000


@dataclass
class House:
    """An index of its own, in a database of its own: others must not be trimmed or swept."""

    log: Log
    index: SessionIndex
    settings: Settings

    async def session(self, session_id: str = "", subject: str | None = None) -> str:
        session_id = session_id or new_id()
        await self.log.log.create(session_id, new_id(), subject=subject)
        await self.index.note(session_id, subject)
        return session_id

    async def listed(self, wanted: Wanted | None = None, limit: int = 50) -> list[str]:
        """All pages."""
        found: list[str] = []
        at: Position | None = None
        for _ in range(1_000):
            page = await self.index.page(wanted or Wanted(), limit, at)
            assert len(page.entries) <= limit
            found += [entry.id for entry in page.entries]
            if (at := page.next) is None:
                return found
        raise AssertionError("the pages have no end")

    async def keys(self) -> dict[str, Any]:
        """What the index holds, by the names of its keys."""
        found = {}
        async for key in self.log.redis.scan_iter(match=f"{INDEX}*"):
            name = key.decode().removeprefix(INDEX)
            if name == "subjects":
                found[name] = sorted(await self.log.redis.hkeys(key))  # type: ignore[misc]
            elif name != "rev":
                found[name] = sorted(await self.log.redis.zrange(key, 0, -1))
        return found


@pytest.fixture
async def house(server: EmbeddedServer) -> AsyncIterator[House]:
    settings = Settings(redis_url=f"{server.url.rpartition('/')[0]}/9", session_list_max=100)
    async with open_store(settings.redis_url) as store:
        await store.redis.flushdb()
        log = Log(store, settings, new_id())
        yield House(log, SessionIndex(store, settings), settings)


async def test_the_session_with_the_newest_activity_comes_first(house: House) -> None:
    one, two, three = [await house.session() for _ in range(3)]
    assert await house.listed() == [three, two, one]
    await house.index.note(one)
    assert await house.listed(limit=1) == [one, three, two]


async def test_an_entry_says_what_the_session_is_about(house: House) -> None:
    session = await house.session(subject="ada")
    [entry] = (await house.index.page(Wanted(), 10)).entries
    assert (entry.title, entry.status, entry.subject) == (None, "idle", "ada")
    assert entry.created_at <= entry.updated_at
    title = title_event(as_title("A trip\nto Rome"))
    await house.log.log.append(Batch(session, [title]))
    await house.log.log.append(Batch(session, [title_event("another", once=True)]))
    [again] = await house.index.entries([session])
    assert isinstance(again, SessionEntry)
    assert again.title == "A trip to Rome"


async def test_a_session_runs_for_as_long_as_one_of_its_runs_does(house: House) -> None:
    session = await house.session()

    async def after(*runs: Any) -> str:
        await house.log.log.append(Batch(session, runs))
        [entry] = await house.index.entries([session])
        assert isinstance(entry, SessionEntry)
        return entry.status

    def run(run_id: str, status: str, **fields: object) -> Any:
        document = a_run(run_id=run_id, status=status, **fields)
        return run_start_event(document) if status == "running" else run_end_event(document)

    assert await after(run("a", "running")) == "running"
    assert await after(run("b", "running")) == "running"
    assert await after(run("a", "ok")) == "running"
    assert await after(run("b", "error", will_retry=True)) == "running"
    assert await after(run("b", "running")) == "running"
    assert await after(run("b", "interrupted")) == "interrupted"
    # One that ended before it had begun.
    assert await after(run("c", "cancelled")) == "cancelled"
    assert await after(run("d", "running"), run("d", "ok")) == "ok"


async def test_pages_hold_each_session_once_whatever_their_size(house: House) -> None:
    sessions = [await house.session() for _ in range(7)]
    # In one instant, too.
    await house.log.redis.zadd(f"{INDEX}time", dict.fromkeys(sessions[2:6], 7))
    expected = await house.listed()
    assert sorted(expected) == sorted(sessions)
    for limit in (1, 2, 3, 7):
        assert await house.listed(limit=limit) == expected


async def test_a_caller_sees_what_it_reaches_and_no_more(house: House) -> None:
    mine = [await house.session(f"ada:{number}") for number in range(3)]
    await house.session("adam:1")
    await house.session("bob:1")
    only = await house.session("shared")
    wanted = Wanted(ids=frozenset({"shared", "gone"}), prefixes=("ada:",))
    for limit in (1, 2, 50):
        assert await house.listed(wanted, limit) == [only, *reversed(mine)]
    assert await house.listed(Wanted(prefixes=())) == []


async def test_a_caller_of_many_among_many_gets_them_by_looking_through(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_GATHERED", "_SCAN", "_MOST_IDS", "_AT_A_TIME", "_MOST_SESSIONS"):
        monkeypatch.setattr(f"stepwire_core.log.session_index.{name}", 2)
    mine = []
    for number in range(5):
        mine.append(await house.session(f"ada:{number}"))
        for other in range(4):
            await house.session(f"bob:{number}{other}")
    for limit in (1, 3, 50):
        assert await house.listed(Wanted(prefixes=("ada:",)), limit) == mine[::-1]
    page = await house.index.page(Wanted(prefixes=("ada:",)), 50)
    # It has looked at some, found none, and says where to go on.
    assert (page.entries, page.next is not None) == ([], True)


async def test_filters_look_at_subject_status_and_title(house: House) -> None:
    ada, bob = await house.session(subject="ada"), await house.session(subject="bob")
    await house.log.log.append(Batch(ada, [title_event("Ärger in Rome")]))
    await house.log.log.append(Batch(bob, [title_event("Paris"), run_start_event(a_run())]))
    for wanted, expected in (
        (Wanted(subject="ada"), [ada]),
        (Wanted(subject="nobody"), []),
        (Wanted(title="äRGER"), [ada]),
        (Wanted(title="a"), [bob]),
        (Wanted(status="idle"), [ada]),
        (Wanted(subject="bob", status="ok"), []),
        (Wanted(prefixes=("x",), subject="ada"), []),
    ):
        assert await house.listed(wanted) == expected, wanted


async def test_what_is_gone_is_dropped_when_it_is_seen(house: House) -> None:
    kept, lost = await house.session(subject="ada"), await house.session(subject="ada")
    await house.log.redis.delete(SessionKeys.of(lost).meta)
    assert await house.listed() == [kept]
    assert {name: len(held) for name, held in (await house.keys()).items()} == {
        "time": 1,
        "ids": 1,
        "subjects": 1,
        (set(await house.keys()) - {"time", "ids", "subjects"}).pop(): 1,
    }


async def test_a_session_that_was_deleted_leaves_nothing_in_the_index(house: House) -> None:
    session = await house.session(subject="ada")
    await house.log.log.delete(session)
    await house.index.forget(session)
    assert await house.keys() == {}


async def test_one_that_came_back_is_not_dropped_for_having_been_gone(house: House) -> None:
    session = await house.session()
    await house.index._drop([(session, "7")])
    assert await house.listed() == [session]


async def test_the_sweep_drops_what_has_expired_and_nothing_that_lives(house: House) -> None:
    dead, alive, fresh = [await house.session(subject="ada") for _ in range(3)]
    await house.log.redis.zadd(f"{INDEX}time", {dead: 1, alive: 2})
    await house.log.redis.delete(SessionKeys.of(dead).meta)
    while await house.index.sweep():
        pass
    assert (await house.keys())["ids"] == sorted([alive.encode(), fresh.encode()])
    [of_alive] = await house.log.redis.zmscore(f"{INDEX}time", [alive])
    assert of_alive > 2


async def test_a_session_that_may_live_for_longer_does_not_jump_to_the_top(house: House) -> None:
    """As after a restart with a shorter life of sessions."""
    old, new = [await house.session() for _ in range(2)]
    meta = SessionKeys.of(old).meta
    [(expires,)] = await house.log.store.read(command("HMGET", meta, "expires"))
    await house.log.store.call(command("HSET", meta, "expires", int(expires) * 2))
    await house.log.redis.zadd(f"{INDEX}time", {old: 1})
    assert await house.index.sweep() == 1
    assert await house.index.sweep() == 0
    assert await house.listed() == [new, old]


async def test_the_index_is_bounded_and_lets_go_of_the_oldest(house: House) -> None:
    sessions = [await house.session(subject="ada") for _ in range(103)]
    held = await house.keys()
    assert {name: len(members) for name, members in held.items()} == dict.fromkeys(held, 100)
    assert await house.listed(limit=200) == sessions[:2:-1]


async def test_a_session_that_is_missing_comes_back_with_its_next_write(house: House) -> None:
    session = await house.session(subject="ada")
    await house.log.redis.flushdb()
    assert await house.listed() == []
    await house.session(session, subject="ada")
    assert await house.listed(Wanted(subject="ada")) == [session]


async def test_every_key_of_the_index_has_an_end(house: House) -> None:
    await house.session(subject="ada")
    # Its subject is known later.
    await house.index.note(await house.session(), "bob")
    assert len([key async for key in house.log.redis.scan_iter(match=f"{INDEX}*")]) == 6
    async for key in house.log.redis.scan_iter(match=f"{INDEX}*"):
        assert 0 < await house.log.redis.pttl(key) <= 2 * TTL_US // 1000, key


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRefused("no")])
async def test_an_index_that_cannot_be_written_to_fails_no_caller(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(house.log.store, "call", refuse)
    await house.index.note("x", "ada")
    await house.index.forget("x")


async def test_a_sweep_stops_where_redis_takes_no_writes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await house.session()
    await house.log.redis.zunionstore(f"{INDEX}time", {f"{INDEX}time": 0})
    calls = []

    async def refuse(*_: object, **__: object) -> None:
        calls.append(1)
        raise StoreUnavailable("read only")

    monkeypatch.setattr(house.log.store, "call", refuse)
    with pytest.raises(StoreUnavailable):
        await house.index.sweep()
    assert calls == [1]


async def test_a_run_from_before_runs_were_counted_is_not_missed_later(house: House) -> None:
    session = await house.session()
    begun = run_start_event(a_run(run_id="old", status="running"))
    await house.log.log.append(Batch(session, [begun]))
    await house.log.redis.hdel(SessionKeys.of(session).meta, "running")  # type: ignore[misc]
    for event in (
        run_end_event(a_run(run_id="old", status="ok")),
        run_start_event(a_run(run_id="new", status="running")),
        run_start_event(a_run(run_id="brief", status="running")),
        run_end_event(a_run(run_id="brief", status="ok")),
    ):
        await house.log.log.append(Batch(session, [event]))
    [entry] = await house.index.entries([session])
    assert isinstance(entry, SessionEntry)
    assert entry.status == "running"


async def test_changes_have_dense_numbers(house: House) -> None:
    assert await house.index.revision() == 0
    session = await house.session()
    assert await house.index.revision() == 1
    await house.index.forget(session, session)
    assert await house.index.revision() == 3


def test_the_title_of_a_message_is_its_beginning_in_one_line() -> None:
    assert title_of_message("  What is\n\tstepwire?  ") == "What is stepwire?"
    long = title_of_message("word " * 10_000)
    assert long is not None
    assert (len(long) <= 80, long[-1]) == (True, "…")
    for nothing in ("", " \n", "\u200b\u202e"):
        assert title_of_message(nothing) is None
    assert title_of_message("a\u202eb\x1b[31mc\ud83d") == "a b [31mc\ufffd"

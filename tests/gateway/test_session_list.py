"""The list of sessions over HTTP, and the stream of what changes in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

import stepwire as cl
from bench import open_bench
from stack import Gateway, Stack
from stepwire_core.log.event_log import open_log
from stepwire_core.log.session_index import Page, Wanted
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.session_entry import SessionEntry
from stepwire_gateway.hub.hub import Hub
from stepwire_gateway.hub.session_list import LIST_GAPS, ListFrames, ListReading

pytestmark = pytest.mark.anyio

LIMIT_S = 30


def listed(gateway: Gateway, **query: object) -> dict[str, Any]:
    response = gateway.client.get("/v1/sessions", params=query)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


@pytest.fixture
def gateway(stack: Stack) -> Gateway:
    return stack.shared_gateway()


def test_a_session_is_listed_with_the_beginning_of_its_first_message(gateway: Gateway) -> None:
    word = new_id()
    session = gateway.create_session()
    assert listed(gateway)["sessions"][0]["title"] is None
    gateway.send(session, f"{word}:\nwhat is stepwire?")
    gateway.send(session, "and who needs it?")
    [entry] = listed(gateway, title=word.upper())["sessions"]
    assert (entry["id"], entry["title"]) == (session, f"{word}: what is stepwire?")
    assert (entry["status"], entry["subject"]) == ("idle", None)
    assert set(entry) == {"id", "title", "status", "created_at", "updated_at", "subject"}


def test_a_deleted_session_is_not_listed(gateway: Gateway) -> None:
    word = new_id()
    session = gateway.create_session()
    gateway.send(session, word)
    gateway.client.delete(f"/v1/sessions/{session}")
    assert listed(gateway, title=word) == {"sessions": [], "next": None, "unavailable": []}


def test_pages_go_on_where_the_one_before_has_ended(gateway: Gateway) -> None:
    word = new_id()
    sessions = [gateway.create_session() for _ in range(3)]
    for session in sessions:
        gateway.send(session, word)
    found, cursor = [], None
    while True:
        page = listed(gateway, title=word, limit=1, **({"cursor": cursor} if cursor else {}))
        found += [entry["id"] for entry in page["sessions"]]
        if (cursor := page["next"]) is None:
            break
    assert found == sessions[::-1]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"cursor": "x"},
        {"cursor": "7.1"},
        {"cursor": ""},
        {"cursor": "\N{GREEK SMALL LETTER ALPHA}"},
        {"status": "open"},
        {"subject": ""},
        {"title": "x" * 300},
    ],
    ids=str,
)
def test_a_query_that_makes_no_sense_is_refused(gateway: Gateway, query: dict[str, str]) -> None:
    for path in ("/v1/sessions", "/v1/events"):
        if path == "/v1/sessions" or "cursor" not in query:
            response = gateway.client.get(path, params=query)
            assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


# -- the stream ---------------------------------------------------------------------------------


async def stream(
    http: httpx.AsyncClient, **query: str
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    async with http.stream("GET", "/v1/events", params=query) as response:
        assert response.status_code == 200
        waiting = ""
        async for text in response.aiter_text():
            *blocks, waiting = (waiting + text).split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                if "data" in fields:
                    assert list(fields) == ["event", "data"]
                    yield fields["event"], json.loads(fields["data"])


async def test_the_stream_begins_with_the_list_and_says_what_changes(gateway: Gateway) -> None:
    word = new_id()
    old, other = gateway.create_session(), gateway.create_session()
    gateway.send(old, word)
    async with (
        asyncio.timeout(LIMIT_S),
        httpx.AsyncClient(base_url=gateway.url) as http,
        aclosing(stream(http, title=word)) as events,
    ):
        type_, page = await anext(events)
        assert (type_, [entry["id"] for entry in page["sessions"]]) == ("sessions", [old])
        new = gateway.create_session()
        gateway.send(other, "no such word")
        gateway.send(new, f"{word} again")
        gateway.client.delete(f"/v1/sessions/{old}")
        seen: list[tuple[str, str]] = []
        while ("session.remove", old) not in seen:
            type_, data = await anext(events)
            seen.append((type_, data["id"]))
        # Of what does not belong to the list it says only that it is not in it.
        assert ("session", new) in seen
        assert {id_ for type_, id_ in seen if type_ == "session"} == {new}


def frames(reaches: str = "") -> ListFrames:
    def page_json(page: Page) -> bytes:
        return json.dumps([entry.id for entry in page.entries]).encode()

    def entry_json(entry: SessionEntry) -> bytes:
        return json.dumps([entry.id, entry.title, entry.status]).encode()

    return ListFrames(lambda id_: id_.startswith(reaches), entry_json, page_json)


class Reader:
    """A client of the stream, in this process."""

    def __init__(self, reading: ListReading) -> None:
        self._batches = reading.batches()

    async def next(self) -> list[tuple[str, Any]]:
        async with asyncio.timeout(LIMIT_S):
            batch = await anext(self._batches)
        found = []
        for frame in batch:
            assert frame.encoded.count(b"\n\n") == 1
            data = frame.encoded.decode().partition("data: ")[2]
            found.append((frame.type, json.loads(data)))
        return found


@asynccontextmanager
async def reading(
    settings: Settings, prefix: str
) -> AsyncIterator[tuple[Hub, ListReading, Reader]]:
    """A hub and a reader of the sessions whose ids begin like this."""
    async with open_log(settings) as log:
        hub = Hub(log, settings)
        wanted = Wanted(prefixes=(prefix,))
        async with hub.running():
            opened = await hub.open_list(
                lambda: hub.sessions.index.page(wanted, 50), frames(prefix)
            )
            try:
                yield hub, opened, Reader(opened)
            finally:
                await opened.aclose()


async def test_a_reader_hears_of_runs_and_titles(settings: Settings) -> None:
    session = f"{new_id()}:1"
    async with (
        open_bench(settings, session) as bench,
        reading(settings, session) as (_, _, reader),
    ):

        def handler() -> None:
            cl.session_title("Rome")

        assert await reader.next() == [("sessions", [])]
        assert (await bench.run(handler)).status == "ok"
        changed: list[Any] = []
        while [session, "Rome", "ok"] not in changed:
            changed += [data for _, data in await reader.next()]


async def test_what_was_lost_is_noticed_by_the_next_change(settings: Settings) -> None:
    prefix = f"{new_id()}:"
    async with reading(settings, prefix) as (hub, _, reader):
        assert await reader.next() == [("sessions", [])]
        for session in (f"{prefix}1", f"{prefix}2"):
            await hub.log.create(session, new_id())
        number = await hub.sessions.index.revision()
        hub.sessions.hear(f"{number} {prefix}1".encode())
        # As if the news of many others had been lost on the way.
        hub.sessions.hear(f"{number + 7} {prefix}1".encode())
        await hub.sessions.index.note(f"{prefix}2")
        await hub.sessions.index.note(f"{prefix}1")
        pages = []
        while [f"{prefix}1", f"{prefix}2"] not in pages:
            pages += [data for type_, data in await reader.next() if type_ == "sessions"]
        assert hub.metrics.value(LIST_GAPS) >= 1


async def test_what_was_lost_last_is_noticed_by_a_look(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"{new_id()}:"
    quiet = settings.model_copy(update={"tail_check_s": 3600.0})
    async with reading(quiet, prefix) as (hub, _, reader):
        assert await reader.next() == [("sessions", [])]
        await hub.log.create(f"{prefix}1", new_id())
        monkeypatch.setattr(hub.sessions, "hear", lambda _: None)
        await hub.sessions.index.note(f"{prefix}1")
        # The first look may be quicker than the news.
        await hub.sessions.check()
        await hub.sessions.check()
        assert await reader.next() == [("sessions", [f"{prefix}1"])]


async def test_what_anybody_publishes_on_the_channel_of_changes_reaches_no_reader(
    settings: Settings,
) -> None:
    """An id goes into a frame as it is."""
    session = new_id()
    async with reading(settings, "") as (hub, _, reader):
        await reader.next()
        for junk in ("a\n\nevent: x", 'a"b', "", "x" * 10_000):
            await hub.log.store.call(
                command("PUBLISH", hub.sessions.index.channel, f"1 {junk}".encode())
            )
        await hub.log.create(session, new_id())
        await hub.sessions.index.note(session)
        seen: list[Any] = []
        while [session, None, "idle"] not in [data for _, data in seen]:
            seen += await reader.next()
        assert {type_ for type_, _ in seen} == {"session"}


async def test_a_session_whose_keys_are_spoilt_costs_the_others_nothing(
    settings: Settings,
) -> None:
    prefix = f"{new_id()}:"
    async with reading(settings, prefix) as (hub, _, reader):
        assert await reader.next() == [("sessions", [])]
        index, bad, good = hub.sessions.index, f"{prefix}bad", f"{prefix}good"
        await hub.log.store.call(command("SET", SessionKeys.of(bad).meta, "", "EX", 60))
        await index.note(bad)
        await hub.log.create(good, new_id())
        await index.note(good)
        seen: list[Any] = []
        while [good, None, "idle"] not in seen:
            seen += [data for _, data in await reader.next()]
        page = await index.page(Wanted(prefixes=(prefix,)), 50)
        assert [entry.id for entry in page.entries] == [good]


async def test_a_reader_begins_anew_after_the_connection_was_away(settings: Settings) -> None:
    prefix = f"{new_id()}:"
    async with reading(settings, prefix) as (hub, _, reader):
        assert await reader.next() == [("sessions", [])]
        await hub.log.create(f"{prefix}1", new_id())
        hub._on_restored([hub.sessions.index.channel])
        assert (await reader.next())[0][0] == "sessions"


async def test_a_reader_that_takes_nothing_holds_no_more_than_a_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwire_gateway.hub.session_list._MOST_CHANGED", 5)
    prefix = f"{new_id()}:"
    async with reading(settings, prefix) as (_, opened, reader):
        assert await reader.next() == [("sessions", [])]
        entry = SessionEntry(id=f"{prefix}1", created_at="", updated_at="")
        for _ in range(10):
            opened.offer(entry.id, entry)
        opened.offer("of-somebody-else", entry)
        assert await reader.next() == [("session", [f"{prefix}1", None, "idle"])]
        for number in range(10):
            opened.offer(f"{prefix}{number}", entry)
        assert await reader.next() == [("sessions", [])]


async def test_a_stopped_reader_ends(settings: Settings) -> None:
    async with reading(settings, new_id()) as (hub, opened, reader):
        assert await reader.next() == [("sessions", [])]
        hub.drain(0)
        with pytest.raises(StopAsyncIteration):
            await reader.next()
        assert opened.stopped

"""The lists of both Python clients: pages that are fetched as they are needed, and a list that is
watched."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, closing
from itertools import islice
from typing import Any

import pytest

from scripted import LIMIT_S, RETRY, Hold, answer, problem, scripted, stream
from stack import Stack
from stepwire.client import AsyncClient, BadAnswer, Client, Forbidden, SessionsUpdate
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio


def entry(id_: str, at: int = 0, **fields: object) -> dict[str, Any]:
    time = f"2026-01-01T00:00:{at:02}.000Z"
    return {"id": id_, "status": "ok", "created_at": time, "updated_at": time} | fields


def page(*ids: str, following: str | None = None) -> dict[str, Any]:
    return {"sessions": [entry(id_) for id_ in ids], "next": following}


def frame(type_: str, data: object) -> str:
    return f"event: {type_}\ndata: {json.dumps(data)}\n\n"


def test_pages_are_fetched_as_they_are_needed_and_each_session_comes_once() -> None:
    replies = [page("a", "b", following="x"), page(following="y"), page("b", "c")]
    with scripted(*map(answer, replies)) as script, Client(script.url) as client:
        sessions = client.sessions(title="ä&b", status="ok")
        assert next(sessions).id == "a"
        assert len(script.asked) == 1
        assert [found.id for found in sessions] == ["b", "c"]
    first, *others = [asked.path.partition("?")[2].split("&") for asked in script.asked]
    assert sorted(first) == ["limit=200", "status=ok", "title=%C3%A4%26b"]
    assert ["cursor=x" in others[0], "cursor=y" in others[1]] == [True, True]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"sessions": 7}, {"sessions": [{"id": 1}]}, {"sessions": [], "next": 7}],
    ids=str,
)
def test_an_answer_that_is_no_page_says_so(wrong: dict[str, Any]) -> None:
    with (
        scripted(answer(wrong)) as script,
        Client(script.url) as client,
        pytest.raises(BadAnswer),
    ):
        list(client.sessions())


def test_pages_that_lead_nowhere_have_an_end() -> None:
    same = answer(page(following="x"))
    with (
        scripted(same, same, same) as script,
        Client(script.url) as client,
        pytest.raises(BadAnswer),
    ):
        list(client.sessions())


def test_sessions_that_cannot_be_asked_are_told_of_and_stay_where_they_are_watched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Their server is away."""
    away = {"sessions": [entry("c", 3)], "next": None, "unavailable": ["b", "x"]}
    known = {"sessions": [entry("b", 2), entry("a", 1)], "next": None}
    with (
        scripted(
            answer(away), stream(frame("sessions", known)), stream(RETRY, frame("sessions", away))
        ) as script,
        Client(script.url) as client,
    ):
        assert [found.id for found in client.sessions()] == ["c"]
        assert "sessions are left out" in caplog.text
        with closing(client.watch_sessions()) as updates:
            lists = [[each.id for each in update.sessions] for update in islice(updates, 2)]
    assert lists == [["b", "a"], ["c", "b"]]


def test_a_list_that_is_watched_is_folded_over_its_connections() -> None:
    first = frame("sessions", {"sessions": [entry("b", 2), entry("a", 1)], "next": None})
    changes = (
        frame("session", entry("a", 3, later="kept"))
        + frame("session.remove", {"id": "unknown"})
        + frame("session.sings", {})
        + frame("session", entry("c", 4))
        + frame("session.remove", {"id": "c"})
    )
    empty = frame("sessions", {"sessions": [], "next": None})
    with (
        scripted(stream(RETRY, first, changes), stream(RETRY, empty, Hold())) as script,
        Client(script.url) as client,
        closing(client.watch_sessions(limit=2, subject="ada")) as updates,
    ):
        seen: list[SessionsUpdate] = [next(updates) for _ in range(5)]
        assert script.asked[0].path == "/v1/events?subject=ada&limit=2"
        assert script.cursors == [None, None]
    shown = [
        ("".join(found.id for found in update.sessions), list(update.changed)) for update in seen
    ]
    assert shown == [
        ("ba", ["b", "a"]),
        ("ab", ["a"]),
        ("ca", ["c"]),
        ("a", ["c"]),
        ("", ["a"]),
    ]


def test_a_list_that_is_refused_says_why() -> None:
    with (
        scripted(problem(403, "forbidden")) as script,
        Client(script.url) as client,
        pytest.raises(Forbidden),
    ):
        next(client.watch_sessions())


async def test_a_real_list_tells_of_new_sessions_and_of_deleted_ones(stack: Stack) -> None:
    gateway, word = stack.shared_gateway(), new_id()
    async with (
        asyncio.timeout(LIMIT_S),
        AsyncClient(gateway.url) as client,
        aclosing(client.watch_sessions(title=word)) as updates,
    ):
        assert (await anext(updates)).sessions == []
        session = await client.create_session()
        await session.send(f"{word}: hello", tags=[word])
        update = await anext(updates)
        assert [(found.id, found.title) for found in update.sessions] == [
            (session.id, f"{word}: hello")
        ]
        assert [run.tags async for run in client.runs(tag=word)] == [[word]]
        assert [found.id async for found in client.sessions(title=word)] == [session.id]
        await session.delete()
        while update.sessions:
            update = await anext(updates)

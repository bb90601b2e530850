"""The streams of both Python clients: what they make of what a server or a network does to them."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from scripted import (
    GONE,
    LIMIT_S,
    RETRY,
    Hold,
    Reply,
    Script,
    frame,
    problem,
    scripted,
    snapshot,
    stream,
)
from stepwire.client import (
    AsyncClient,
    BadAnswer,
    Client,
    Connection,
    Event,
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NoAnswer,
    NotFound,
    SessionTree,
    Unavailable,
    _following,
)
from stepwire_core.errors import InvalidArgument


@dataclass
class Outcome:
    """What a reader got."""

    events: list[Event] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    error: GatewayError | None = None
    """None: the stream was over."""

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    @property
    def states(self) -> list[str]:
        return [connection.state for connection in self.connections]


Read = Callable[..., Outcome]


async def read_awaiting(script: Script, *, max_retries: int = 2, **options: Any) -> Outcome:
    outcome = Outcome()
    async with asyncio.timeout(LIMIT_S), AsyncClient(script.url, max_retries=max_retries) as client:
        options["on_connection"] = outcome.connections.append
        try:
            async for event in client.session("s").events(**options):
                outcome.events.append(event)
        except GatewayError as error:
            outcome.error = error
    return outcome


def read_blocking(script: Script, *, max_retries: int = 2, **options: Any) -> Outcome:
    outcome = Outcome()
    options["on_connection"] = outcome.connections.append
    with Client(script.url, max_retries=max_retries) as client:
        try:
            for event in client.session("s").events(**options):
                outcome.events.append(event)
        except GatewayError as error:
            outcome.error = error
    return outcome


@pytest.fixture(params=["AsyncClient", "Client"])
def read(request: pytest.FixtureRequest) -> Read:
    """Reads a session's stream until it is over, or refused for good."""
    if request.param == "Client":
        return read_blocking
    return lambda *args, **options: asyncio.run(read_awaiting(*args, **options))


# -- going on -------------------------------------------------------------------------------------


def test_a_stream_that_breaks_or_ends_goes_on_from_the_last_event(read: Read) -> None:
    with scripted(
        stream(RETRY, snapshot(1), frame(2), breaks=True),
        stream(RETRY, frame(3)),
        stream(RETRY, frame(4)),
    ) as script:
        outcome = read(script)
    assert script.cursors == [None, "1-2", "1-3", "1-4"]
    assert outcome.ids == ["1-1", "1-2", "1-3", "1-4"]
    assert isinstance(outcome.error, NotFound)
    assert outcome.error.code == "session_not_found"
    assert outcome.states == ["connecting", *["live", "reconnecting"] * 3]
    assert [bool(c.error) for c in outcome.connections if c.state == "reconnecting"] == [
        True,
        False,
        False,
    ]


def test_a_reader_that_has_a_cursor_begins_there(read: Read) -> None:
    with scripted(stream(RETRY, frame(8))) as script:
        outcome = read(script, after="1-7")
    assert script.cursors == ["1-7", "1-8"]
    assert outcome.ids == ["1-8"]


def test_an_event_that_comes_again_is_dropped(read: Read) -> None:
    with scripted(stream(RETRY, snapshot(1), frame(2), frame(2), frame(1), frame(3))) as script:
        assert read(script).ids == ["1-1", "1-2", "1-3"]


def test_a_hole_begins_anew_with_a_snapshot_and_is_told(read: Read) -> None:
    with scripted(
        stream(RETRY, snapshot(1), frame(3)), stream(RETRY, snapshot(3), frame(4))
    ) as script:
        outcome = read(script)
    assert script.cursors == [None, None, "1-4"]
    assert outcome.ids == ["1-1", "1-3", "1-4"]
    assert outcome.events[1].type == "snapshot"
    assert [connection.gaps for connection in outcome.connections][-1] == 1


def test_another_epoch_without_a_snapshot_is_a_hole(read: Read) -> None:
    with scripted(
        stream(RETRY, snapshot(1), frame(2, epoch=2)), stream(RETRY, snapshot(2, epoch=2))
    ) as script:
        outcome = read(script)
    assert outcome.ids == ["1-1", "2-2"]
    assert outcome.connections[-1].gaps == 1


def test_a_type_of_a_newer_version_is_passed_on_and_is_no_hole(read: Read) -> None:
    with scripted(stream(RETRY, snapshot(1), frame(2, "step.applause"), frame(3))) as script:
        outcome = read(script)
    assert [event.type for event in outcome.events] == ["snapshot", "step.applause", "step.delta"]
    assert outcome.events[1].document is None
    assert outcome.connections[-1].gaps == 0


def test_a_filtered_stream_has_holes_and_takes_the_cursor_of_a_frame_without_data(
    read: Read,
) -> None:
    with scripted(
        stream(RETRY, snapshot(1), frame(5, "step.end"), "id: 1-90\n\n", breaks=True),
        stream(RETRY, frame(120, "step.end")),
    ) as script:
        outcome = read(script, types=("step.end", "run.end"))
    assert script.cursors == [None, "1-90", "1-120"]
    assert script.asked[0].path == "/v1/sessions/s/events?types=step.end%2Crun.end"
    assert outcome.ids == ["1-1", "1-5", "1-120"]


def test_the_stream_of_a_run_is_over_with_its_last_end_and_with_204(read: Read) -> None:
    again = frame(2, "run.end", run_id="r", ended_at="t", will_retry=True)
    part = frame(3, "run.end", run_id="part", ended_at="t", will_retry=False)
    end = frame(6, "run.end", run_id="r", ended_at="t", will_retry=False)
    with scripted(stream(RETRY, snapshot(1), again, part, end, frame(9))) as script:
        outcome = read(script, run_id="r")
    assert (outcome.ids, outcome.error) == (["1-1", "1-2", "1-3", "1-6"], None)
    assert [asked.path for asked in script.asked] == ["/v1/sessions/s/runs/r/events"]
    with scripted(Reply(status=204)) as script:
        assert read(script, run_id="r", after="1-6") == Outcome(
            connections=[Connection("connecting")]
        )


def test_the_stream_of_a_run_that_a_snapshot_shows_as_ended_is_over(read: Read) -> None:
    over = snapshot(4, runs=[{"run_id": "r", "ended_at": "t", "will_retry": False}])
    with scripted(stream(RETRY, over)) as script:
        outcome = read(script, run_id="r")
    assert (outcome.ids, outcome.error, len(script.asked)) == (["1-4"], None, 1)


# -- what fails -----------------------------------------------------------------------------------


def test_an_empty_stream_says_why_and_is_asked_for_again(read: Read) -> None:
    empty = stream(": store_unavailable: no Redis\nretry: 1\n\n")
    with scripted(empty, empty, stream(RETRY, snapshot(1))) as script:
        outcome = read(script)
    errors = [c.error for c in outcome.connections if c.state == "reconnecting"][:2]
    assert [(type(e), e and e.code, str(e)) for e in errors] == [
        (Unavailable, "store_unavailable", "no Redis")
    ] * 2
    assert [c.failures for c in outcome.connections][:4] == [0, 1, 2, 0]
    assert outcome.ids == ["1-1"]


def test_a_proxy_that_speaks_for_a_gateway_that_is_away_is_waited_for(read: Read) -> None:
    away = Reply(("<html>502</html>",), 502, "text/html", {"Retry-After": "0"})
    with scripted(
        stream(RETRY, snapshot(1)), away, away, away, away, stream(RETRY, frame(2))
    ) as script:
        outcome = read(script)
    assert outcome.ids == ["1-1", "1-2"]
    assert script.cursors[1:] == ["1-1"] * 5 + ["1-2"]


@pytest.mark.parametrize("asked", ["86400", "9" * 5000])
def test_no_answer_and_no_stream_can_ask_for_a_wait_without_end(
    read: Read, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(_following, "MAX_WAIT_S", 0.01)
    away = Reply(("",), 503, "text/plain", {"Retry-After": asked})
    ends = stream(f"retry: {asked}\n\n", frame(2))
    with scripted(stream(RETRY, snapshot(1)), away, ends, stream(RETRY, frame(3))) as script:
        outcome = read(script)
    assert outcome.ids == ["1-1", "1-2", "1-3"]


@pytest.mark.parametrize("runs", [None, [None, 7], [{"run_id": ["r"]}]])
def test_a_snapshot_whose_runs_are_not_runs_ends_no_stream(read: Read, runs: object) -> None:
    end = frame(2, "run.end", run_id="r", ended_at="2026-01-01T00:00:00.000Z", will_retry=False)
    with scripted(stream(RETRY, snapshot(1, runs=runs), end)) as script:
        outcome = read(script, run_id="r")
    assert (outcome.ids, outcome.error) == (["1-1", "1-2"], None)


def test_a_first_connection_that_fails_is_raised_after_the_retries(read: Read) -> None:
    away = Reply(("",), 503, "text/plain", {"Retry-After": "0"})
    with scripted(*[away] * 9) as script:
        outcome = read(script, max_retries=2)
    assert (type(outcome.error), len(script.asked)) == (Unavailable, 3)
    with scripted(Reply(is_silent=True)) as script:
        outcome = read(script, max_retries=0)
    assert (type(outcome.error), len(script.asked)) == (NoAnswer, 1)


def test_what_is_no_gateway_says_so(read: Read) -> None:
    for reply in (
        Reply(("<html>",), 200, "text/html"),
        Reply(("nothing here",), 404, "text/plain"),
        Reply((), 301, "text/plain", {"Location": "https://elsewhere.example/"}),
        stream("data: an event without an id\n\n"),
    ):
        with scripted(reply) as script:
            error = read(script).error
        assert isinstance(error, BadAnswer)
        assert script.url in str(error)


def test_a_cursor_of_another_form_is_refused_by_the_gateway(read: Read) -> None:
    with scripted(problem(400, "invalid_cursor")) as script:
        assert isinstance(read(script, after="x").error, InvalidRequest)


def test_a_connection_on_which_nothing_is_heard_is_given_up(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_following, "SILENCE_S", 0.2)
    with scripted(stream(RETRY, snapshot(1), Hold()), stream(RETRY, frame(2))) as script:
        outcome = read(script)
    assert outcome.ids == ["1-1", "1-2"]
    assert any(isinstance(connection.error, NoAnswer) for connection in outcome.connections)


# -- frames ---------------------------------------------------------------------------------------


def pieces_of(text: str, size: int) -> list[bytes]:
    data = text.encode()
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_frames_are_read_however_the_network_cuts_them(ends: str, size: int) -> None:
    text = "a\u2028b\u0085c\x0b😀\x1c"
    whole = (
        "\ufeff: ping\n\nretry: 1\n\n"
        + snapshot(1)
        + f'id:1-2\nevent:step.delta\ndata:{{"text":\ndata: "{text}"}}\nother: x\nlone\n\n'
        + "id: no\0\nid: 1-3\nevent: x\ndata\n\n"
        + "event: never ends\ndata: {}"
    ).replace("\n", ends)
    with scripted(stream(*pieces_of(whole, size))) as script:
        outcome = read_blocking(script)
    assert outcome.ids == ["1-1", "1-2", "1-3"]
    assert json.loads(outcome.events[1].json, strict=False) == {"text": text}
    assert outcome.events[2].json == ""


def test_a_large_frame_costs_what_it_weighs() -> None:
    """In pieces of a kilobyte; each is looked at once, so this does not take minutes."""
    large = frame(2, text="x" * 8_000_000)
    with scripted(stream(RETRY, snapshot(1), *pieces_of(large, 1024))) as script:
        outcome = read_blocking(script)
    assert len(outcome.events[1].data["text"]) == 8_000_000


# -- leaving --------------------------------------------------------------------------------------


async def first_of(client: AsyncClient) -> Event:
    return await anext(client.session("s").events())


async def no_connections(client: AsyncClient) -> None:
    """Return when the client has none."""
    pool = client._requests.http._client._transport._pool  # type: ignore[attr-defined]
    async with asyncio.timeout(LIMIT_S):
        # httpcore keeps the place of one that was cancelled before it began, for the next request.
        while any("NEW" not in connection.info() for connection in pool.connections):  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_a_reader_that_leaves_gives_its_connection_back() -> None:
    async def main(script: Script) -> None:
        async with AsyncClient(script.url) as client:
            async for event in client.session("s").events():
                assert event.id == "1-1"
                break
            gc.collect()
            await asyncio.sleep(0)
            await no_connections(client)

    with scripted(stream(RETRY, snapshot(1), Hold())) as script:
        asyncio.run(main(script))
        with Client(script.url) as client:
            with closing(client.session("s").events()) as events, pytest.raises(NotFound):
                next(events)
            assert not client._requests.http._client._transport._pool.connections  # type: ignore[attr-defined]


def test_a_reader_that_is_cancelled_wherever_it_waits_leaves_nothing() -> None:
    async def main(script: Script) -> None:
        async with AsyncClient(script.url) as client:
            for yields in range(40):
                reader = asyncio.create_task(first_of(client))
                for _ in range(yields):
                    await asyncio.sleep(0)
                reader.cancel()
                await asyncio.wait([reader])
            gc.collect()
            await no_connections(client)

    with scripted(*[stream(RETRY, Hold())] * 40) as script:
        asyncio.run(main(script))


def test_streams_that_are_refused_leave_nothing() -> None:
    """As those that are answered with an error, in a client that reads none of it."""

    async def main(script: Script) -> None:
        async with AsyncClient(script.url, max_retries=0) as client:
            for _ in range(30):
                with pytest.raises(LimitExceeded):
                    await first_of(client)
            await no_connections(client)

    with scripted(*[problem(429, "limit_exceeded")] * 30) as script:
        asyncio.run(main(script))


def test_a_hundred_and_fifty_streams_leave_room_for_a_request() -> None:
    """httpx lets a client have a hundred connections if it is not told otherwise."""

    async def main(script: Script) -> None:
        async with AsyncClient(script.url) as client, asyncio.timeout(LIMIT_S):
            streams = [client.session("s").events() for _ in range(150)]
            await asyncio.gather(*(anext(events) for events in streams))
            with pytest.raises(NotFound):
                await client.session("s").cancel("r")
            for events in streams:
                await events.aclose()

    with scripted(*[stream(RETRY, snapshot(1), Hold())] * 150) as script:
        asyncio.run(main(script))


# -- the tree -------------------------------------------------------------------------------------


def test_the_tree_follows_and_goes_on_from_where_it_stands() -> None:
    def started(id_: str) -> dict[str, Any]:
        fields = {"session_id": "s", "run_id": None, "attempt": 0, "parent_id": None}
        return {
            "id": id_, "name": id_, "type": "tool", "status": "running",
            "started_at": "t", "ts": "t", **fields,
        }  # fmt: skip

    delta: dict[str, Any] = {"id": "a", "field": "output", "text": "hi"}
    with (
        scripted(
            stream(RETRY, snapshot(1), frame(2, "step.start", 1, **started("a")), breaks=True),
            stream(
                RETRY, frame(2, "step.start", 1, **started("a")), frame(3, "step.delta", 1, **delta)
            ),
            GONE,
            stream(RETRY, frame(4, "step.delta", 1, **delta)),
        ) as script,
        Client(script.url) as client,
    ):
        session, tree = client.session("s"), SessionTree()
        updates = session.follow(tree)
        assert [next(updates).tree is tree for _ in range(3)] == [True] * 3
        with pytest.raises(NotFound):
            next(updates)
        assert (tree.cursor, tree.steps["a"].text("output")) == ("1-3", "hi")
        update = next(session.follow(tree))
        assert [node.text("output") for node in update.changed] == ["hihi"]  # type: ignore[union-attr]
    assert script.cursors == [None, "1-2", "1-3", "1-3"]


def test_an_event_without_a_cursor_is_not_folded() -> None:
    with pytest.raises(InvalidArgument):
        SessionTree().apply(Event("", "step.delta", "{}"))

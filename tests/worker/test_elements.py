"""Elements through the public API: what is stored, and what is sent, for what a handler does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

import stepwire as cl
from bench import Bench, open_bench
from event_log import client_of
from object_storage import URL, ObjectStorage
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.publisher import Publisher
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import open_log
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import ElementDocument

pytestmark = pytest.mark.anyio


# For values that a type checker would not let pass.
api: Any = cl

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
REDIS_BYTES = 1000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {"elements_redis_bytes": REDIS_BYTES, "elements_max_bytes": 100_000}
    return settings.model_copy(update=limits)


@pytest.fixture
async def s3_bench(
    settings: Settings, session_id: str, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A worker's inside that has object storage, too."""
    for name, value in storage.env.items():
        monkeypatch.setenv(name, value)
    settings = settings.model_copy(update={"elements_url": URL})
    async with open_bench(settings, session_id) as bench:
        yield bench


def kept(bench: Bench) -> dict[str, bytes]:
    """The bytes in Redis, by element."""
    redis = Redis.from_url(bench.settings.redis_url)
    found: Any = redis.hgetall(SessionKeys.of(bench.session_id).files)
    return {name.decode(): content for name, content in found.items()}


async def elements(bench: Bench) -> dict[str, ElementDocument]:
    return {element.name: element for element in (await bench.snapshot()).elements}


async def shown(bench: Bench) -> list[tuple[str, str]]:
    """What clients get to see, as types and names."""
    return [
        (type_, data.get("name") or data["id"])
        for type_, data in await bench.events()
        if type_.startswith(("step", "element"))
    ]


async def test_elements_of_a_step_follow_its_start_and_are_listed_in_it(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("draw", elements=[cl.Image("cat", content=PNG)]) as step:
            step.elements.append(cl.Text("note", content="gr\u00fc\u00df", language="python"))

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    assert await shown(bench) == [
        ("step.start", "draw"),
        ("element.add", "cat"),
        ("element.add", "note"),
        ("step.end", "draw"),
    ]
    [step] = (await bench.snapshot()).steps
    found = await elements(bench)
    assert step.elements == [found["cat"].id, found["note"].id]
    assert found["cat"].model_dump(exclude={"ts", "id"}) == {
        "session_id": bench.session_id,
        "run_id": run.run_id,
        "step_id": step.id,
        "type": "image",
        "name": "cat",
        "mime": "image/png",
        "display": "inline",
        "size": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "url": f"/v1/sessions/{bench.session_id}/elements/{found['cat'].id}",
        "props": {},
    }
    assert found["note"].props == {"language": "python"}
    assert kept(bench) == {found["cat"].id: PNG, found["note"].id: "gr\u00fc\u00df".encode()}


async def test_an_element_is_sent_once_however_often_its_step_is(bench: Bench) -> None:
    image = cl.Image("cat", content=PNG)

    async def handler() -> None:
        message = cl.Message("look", elements=[image])
        await message.send()
        await message.update()
        await message.send()
        await message.update()
        await image.send()

    assert (await bench.run(handler)).status == "ok"
    assert [type_ for type_, _ in await shown(bench)].count("element.add") == 1
    [message] = (await bench.snapshot()).steps
    assert message.elements == [image.id]


@pytest.mark.parametrize("make", [lambda: cl.Message("m"), lambda: cl.Step("s")])
async def test_an_element_that_is_taken_out_is_taken_away_with_the_update(
    bench: Bench, make: Callable[[], cl.Message | cl.Step]
) -> None:
    async def handler() -> None:
        node = make()
        node.elements = [cl.Text("old", content="1"), cl.Text("kept", content="2")]
        await node.send()
        by_itself = await cl.Text("by itself", content="3").send(for_id=node.id)
        node.elements = [node.elements[1], cl.Text("new", content="4")]
        await node.update()
        await node.update()
        assert by_itself.for_id == node.id

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    snapshot = await bench.snapshot()
    assert sorted(element.name for element in snapshot.elements) == ["by itself", "kept", "new"]
    names = {element.id: element.name for element in snapshot.elements}
    assert [names[id_] for id_ in snapshot.steps[0].elements] == ["kept", "new"]
    assert [type_ for type_, _ in await shown(bench)].count("element.remove") == 1


async def test_every_way_to_send_a_node_sends_its_elements(bench: Bench) -> None:
    async def handler() -> None:
        await cl.Step("sent", elements=[cl.File("a", content=b"")]).send()
        streamed = cl.Message(elements=[cl.File("b", content=b"")])
        await streamed.stream_token("text")
        await streamed.send()
        await cl.ErrorMessage("failed", elements=[cl.File("c", content=b"")]).send()
        later = cl.Message("later")
        await later.send()
        later.elements.append(cl.File("d", content=b""))
        await later.update()

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    names = {step.id: step.output or step.name for step in (await bench.snapshot()).steps}
    belongs = {name: names[item.step_id or ""] for name, item in (await elements(bench)).items()}
    assert belongs == {"a": "sent", "b": "text", "c": "failed", "d": "later"}


async def test_a_synchronous_step_sends_its_elements_from_any_thread(bench: Bench) -> None:
    def handler() -> None:
        with cl.Step("sync", elements=[cl.File("given", content=b"1")]) as step:
            step.elements.append(cl.File("appended", content=b"2"))

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    assert [name for _, name in await shown(bench)] == ["sync", "given", "appended", "sync"]


async def test_every_call_of_a_decorated_function_shows_elements_of_its_own(bench: Bench) -> None:
    @cl.step(elements=[cl.File("a", content=b"a")])
    async def coroutine() -> None:
        pass

    @cl.step(elements=[cl.File("b", content=b"b")])
    def plain() -> None:
        pass

    @cl.step(elements=[cl.File("c", content=b"c")])
    def generator() -> Iterator[str]:
        yield "1"

    @cl.step(elements=[cl.File("d", content=b"d")])
    async def stream() -> AsyncIterator[str]:
        yield "1"

    async def handler() -> None:
        for _ in range(2):
            await coroutine()
            plain()
            list(generator())
            _ = [item async for item in stream()]

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    snapshot = await bench.snapshot()
    assert [step.elements for step in snapshot.steps] == [[item.id] for item in snapshot.elements]
    assert [item.name for item in snapshot.elements] == ["a", "b", "c", "d"] * 2
    assert len(kept(bench)) == 8


async def test_an_element_of_two_messages_is_shown_with_both(bench: Bench) -> None:
    image = cl.Image("cat", content=PNG)

    async def handler() -> None:
        await cl.Message("one", elements=[image]).send()
        await cl.Message("two", elements=[image]).send()

    await bench.run(handler)
    snapshot = await bench.snapshot()
    assert [item.step_id for item in snapshot.elements] == [step.id for step in snapshot.steps]
    assert len({item.id for item in snapshot.elements}) == 2


async def test_an_element_by_itself_goes_to_the_step_it_names_or_the_one_around(
    bench: Bench,
) -> None:
    async def handler() -> None:
        async with cl.Step("outer") as outer, cl.Step("inner"):
            await cl.File("named", content=b"").send(for_id=outer.id)
            await cl.File("around", content=b"").send()
        await cl.File("alone", content=b"").send()

    assert (await bench.run(handler)).status == "ok"
    names = {step.id: step.name for step in (await bench.snapshot()).steps}
    found = {name: names.get(item.step_id or "") for name, item in (await elements(bench)).items()}
    assert found == {"named": "outer", "around": "inner", "alone": None}


async def test_an_element_may_be_the_first_thing_in_a_new_session(
    settings: Settings,
) -> None:
    publisher, session = Publisher(settings), new_id()
    try:
        with used_as_process_publisher(publisher):
            async with cl.session(session):
                await cl.File("first", content=b"1").send()
    finally:
        await asyncio.to_thread(publisher.close)
    async with open_log(settings) as log:
        snapshot = await log.snapshot(session)
    assert [item.name for item in snapshot.elements] == ["first"]


async def test_a_removed_element_is_gone_with_its_bytes_and_stays_so(bench: Bench) -> None:
    async def handler() -> None:
        image = cl.Image("cat", content=PNG)
        await image.remove()
        async with cl.Step("draw", elements=[image]):
            await image.remove()
            await image.remove()

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    types = [type_ for type_, _ in await shown(bench)]
    assert types == ["step.start", "element.add", "element.remove", "step.end"]
    snapshot = await bench.snapshot()
    assert (snapshot.elements, snapshot.steps[0].elements, kept(bench)) == ([], [], {})


async def test_a_removed_step_takes_along_the_elements_below_it(bench: Bench) -> None:
    async def handler() -> None:
        below = cl.File("below", content=b"1")
        async with cl.Step("outer") as outer, cl.Step("inner", elements=[below]):
            pass
        await cl.Message("stays", elements=[cl.File("kept", content=b"2")]).send()
        await outer.remove()
        await cl.File("late", content=b"3").send(for_id=outer.id)

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    assert list(await elements(bench)) == ["kept"]
    assert list(kept(bench).values()) == [b"2"]
    assert ("element.add", "late") not in await shown(bench)


async def test_a_url_is_passed_on_and_not_fetched(bench: Bench) -> None:
    async def handler() -> None:
        for url in ("http://127.0.0.1:1/a/cat%20one.png?x=1", "/public/cat.webp"):
            await cl.Image(url=url).send()

    assert (await bench.run(handler)).status == "ok"
    one, two = (await bench.snapshot()).elements
    assert (one.url, one.name, one.mime) == (
        "http://127.0.0.1:1/a/cat%20one.png?x=1",
        "cat one.png",
        "image/png",
    )
    assert (one.size, one.sha256, two.mime) == (None, None, "image/webp")
    assert kept(bench) == {}


async def test_a_file_is_read_when_it_is_sent(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    pdf = cl.Pdf(path=path, page=3, display="side")
    path.write_bytes(b"%PDF-1.7")

    async def handler() -> None:
        await pdf.send()

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    element = (await elements(bench))["report.pdf"]
    assert (element.mime, element.props, element.display) == (
        "application/pdf",
        {"page": 3},
        "side",
    )
    assert kept(bench) == {element.id: b"%PDF-1.7"}


async def test_a_file_is_read_in_a_thread_of_its_own(bench: Bench, tmp_path: Path) -> None:
    """A pipe whose other end opens late would stop the loop, if the loop opened it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def handler() -> None:
        sending = asyncio.create_task(cl.File(path=pipe).send())
        await asyncio.sleep(0)
        # A thread is opening it now. If the loop waited, too, the other end would never be opened.
        writer = await asyncio.to_thread(pipe.open, "wb")
        writer.close()
        await sending

    run = await bench.run(handler)
    assert run.error is not None
    assert "is not a regular file" in run.error.message


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: api.Image(), "Image takes one of content, path and url; it was given none"),
        (lambda: api.File(content=b"", path="x"), "it was given content and path"),
        (lambda: api.File(url="http://x", path="x"), "it was given path and url"),
        (
            lambda: api.Dataframe(data=Figure()),
            "data takes a DataFrame or a list of dicts",
        ),
        (lambda: api.Pdf(content=b"", page="1"), "page takes the number of a page, not str"),
        (lambda: api.Audio(content=b"", auto_play="x"), "auto_play of an element must be True or"),
        (lambda: api.Video(content=b"", player_config=1), "player_config takes a dict, not int"),
        (lambda: api.File(content=7), "content takes bytes or text, not int"),
        (lambda: api.File(path=7), "path takes the path of a file, not int"),
        (
            lambda: api.File(content=b"", display="top"),
            "'top' is not known: give one of inline",
        ),
        (
            lambda: api.Image(content=b"", size="huge"),
            "'huge' is not known: give one of small",
        ),
        (lambda: api.File(content=b"", display=[]), r"display \[\] is not known"),
        (lambda: api.File(content=b"", mime="png"), "mime 'png' is not a media type"),
        (lambda: api.File(content=b"", mime="a/b\r\nX: y"), "is not a media type"),
        (lambda: api.File(7, content=b""), "name of an element must be a string, not int"),
        (lambda: api.File(content=b"", id="a b"), "element id 'a b' is not usable"),
        (lambda: api.Image(url="javascript:alert(1)"), "is not of the form http://"),
        (lambda: api.Image(url="http://[x"), "is not of the form http://"),
        (lambda: api.Image(url="http://host:port/x"), "is not of the form http://"),
        (lambda: api.Image(url="data:text/html,x"), "is not of the form http://"),
        (lambda: api.Image(url="//host/x"), "is not of the form http://"),
        (lambda: api.Json(content='{"a": '), "a string that is not JSON"),
        (lambda: api.Json(), "Json takes one of content, path and url"),
        (lambda: api.Dataframe(data=7), "data takes a DataFrame or a list of dicts.*not int"),
        (lambda: api.Dataframe(data=[1]), "data takes a DataFrame or a list of dicts.*not list"),
        (lambda: api.Dataframe(data=[], path="x"), "Dataframe is made from data, not from path"),
        (lambda: api.Plotly(figure=7), "figure takes a plotly figure or the dict of one, not int"),
        (lambda: api.Plotly(figure={}, url="http://x"), "Plotly is made from figure, not from url"),
        (lambda: api.step(elements=[7])(print)(), "elements of a step.*not int"),
        (lambda: api.Step("s", elements=["x"]), "elements of a step are cl.Image.*not str"),
        (
            lambda: api.Message("m", elements=[b"x"]),
            "elements of a message.*not bytes",
        ),
    ],
)
def test_what_cannot_be_an_element_is_refused_when_it_is_made(
    make: Callable[[], object], what: str
) -> None:
    with pytest.raises(cl.InvalidArgument, match=what):
        make()


@pytest.mark.parametrize("path", ["missing.png", ".", "nul\0byte"])
async def test_a_file_that_cannot_be_read_shows_nothing_and_says_what_to_do(
    bench: Bench, tmp_path: Path, path: str
) -> None:
    async def handler() -> None:
        async with cl.Step("draw", elements=[cl.Image("cat", path=tmp_path / path)]):
            raise AssertionError("not reached")

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.type == "InvalidArgument"
    assert "element 'cat'" in run.error.message
    assert "give a path that this worker can read" in run.error.message
    # The message of the handler that failed is all there is.
    assert [step.name for step in (await bench.snapshot()).steps] == ["Error"]
    assert await elements(bench) == {}


async def test_an_element_that_cannot_be_stored_at_the_end_fails_its_step(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("one") as step:
            step.elements.append(cl.File(path="missing"))

    run = await bench.run(handler)
    step = (await bench.snapshot()).steps[0]
    assert run.error is not None
    assert step.error == run.error
    assert (step.status, step.elements) == ("error", [])


async def test_an_element_that_cannot_be_stored_does_not_hide_what_went_wrong(bench: Bench) -> None:
    def handler() -> None:
        with cl.Step("one") as step:
            step.elements.append(cl.File(path="missing"))
            raise LookupError("the reason")

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.message == "the reason"
    assert (await bench.snapshot()).steps[0].error == run.error


async def test_a_cancelled_step_does_not_wait_for_its_elements(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("one") as step:
            step.elements.append(cl.File(path="missing"))
            raise asyncio.CancelledError

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.type == "CancelledError"
    assert (await bench.snapshot()).steps[0].status == "cancelled"


async def test_a_step_that_is_cancelled_while_its_elements_are_stored_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        storing.set()
        assert go_on.wait(30)

    monkeypatch.setattr(cl.File, "_store", slow)

    async def handler() -> None:
        task = asyncio.create_task(work())
        assert await asyncio.to_thread(storing.wait, 30)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def work() -> None:
        async with cl.Step("one") as step:
            step.elements.append(cl.File(content=b""))

    run = await bench.run(handler)
    go_on.set()
    assert run.status == "ok", run.error
    assert (await bench.snapshot()).steps[0].status == "cancelled"


async def test_an_element_needs_a_session() -> None:
    with pytest.raises(cl.NoActiveSession, match="element 'a' was used outside any session"):
        await cl.File("a", content=b"").send()


async def test_an_element_that_is_too_large_for_redis_says_what_to_set(bench: Bench) -> None:
    async def handler() -> None:
        await cl.File("big", content=b"x" * (REDIS_BYTES + 1)).send()

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.type == "ElementTooLarge"
    assert "element 'big' has 1001 bytes, at most 1000 can be kept" in run.error.message
    assert "STEPWIRE_ELEMENTS_URL" in run.error.message
    assert await elements(bench) == {}


async def test_an_element_over_the_largest_size_is_refused(s3_bench: Bench) -> None:
    async def handler() -> None:
        await cl.File("huge", content=b"x" * 100_001).send()

    run = await s3_bench.run(handler)
    assert run.error is not None
    assert "raise STEPWIRE_ELEMENTS_MAX_BYTES" in run.error.message


async def test_large_elements_go_to_object_storage_from_content_and_path(
    s3_bench: Bench, storage: ObjectStorage, tmp_path: Path
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"f" * 5000)

    def handler() -> None:
        with cl.Step(
            "show",
            elements=[
                cl.Text("long", content="t" * 2000),
                cl.Video(path=tmp_path / "film.mp4"),
                cl.Text("short", content="t"),
            ],
        ):
            pass

    run = await s3_bench.run(handler)
    assert run.status == "ok", run.error
    found = await elements(s3_bench)
    assert kept(s3_bench) == {found["short"].id: b"t"}
    folder = await s3_bench.log.object_folder(s3_bench.session_id)
    assert set(storage.names()) >= {f"{folder}/{found[n].id}" for n in ("long", "film.mp4")}
    assert (found["film.mp4"].size, found["film.mp4"].mime) == (5000, "video/mp4")


async def test_what_is_removed_is_removed_from_object_storage(
    s3_bench: Bench, storage: ObjectStorage
) -> None:
    async def handler() -> None:
        alone = cl.File("alone", content=b"x" * 2000)
        await alone.send()
        below = cl.File("below", content=b"x" * 2000)
        async with cl.Step("outer") as outer, cl.Step("inner", elements=[below]):
            pass
        await cl.Message("stays", elements=[cl.File("kept", content=b"x" * 2000)]).send()
        await alone.remove()
        await outer.remove()

    run = await s3_bench.run(handler)
    assert run.status == "ok", run.error
    [left] = (await s3_bench.snapshot()).elements
    folder = await s3_bench.log.object_folder(s3_bench.session_id)
    names = [name for name in storage.names() if name.startswith(s3_bench.session_id)]
    assert names == [f"{folder}/{left.id}"]


async def test_without_obstore_the_setting_says_what_to_install(
    s3_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)

    async def handler() -> None:
        await cl.File("a", content=b"").send()

    run = await s3_bench.run(handler)
    assert run.error is not None
    assert run.error.type == "SettingsError"
    assert "pip install 'stepwire[s3]'" in run.error.message


class Frame:
    """Has what pandas has."""

    def to_json(self, *, orient: str, date_format: str) -> str:
        assert (orient, date_format) == ("split", "iso")
        return '{"columns":["a"],"index":[0],"data":[[1]]}'


class PolarsFrame:
    """Has what polars has."""

    def to_dicts(self) -> list[dict[str, Any]]:
        return [{"a": 1}, {"a": 2}]


class Figure:
    """Has what plotly has."""

    def to_json(self) -> str:
        return '{"data":[],"layout":{}}'


@pytest.mark.parametrize(
    ("element", "content"),
    [
        (cl.Json("x", content={"a": [1, b"b"]}), {"a": [1, "<1 bytes>"]}),
        (cl.Json("x", content='{"a": 1}'), {"a": 1}),
        (cl.Json("x", content=[]), []),
        (cl.Dataframe("x", data=Frame()), {"columns": ["a"], "index": [0], "data": [[1]]}),
        (
            cl.Dataframe("x", data=PolarsFrame()),
            {"columns": ["a"], "index": [0, 1], "data": [[1], [2]]},
        ),
        (
            cl.Dataframe("x", data=[{"a": 1}, {"b": 2}]),
            {"columns": ["a", "b"], "index": [0, 1], "data": [[1, None], [None, 2]]},
        ),
        (cl.Dataframe("x", data=[]), {"columns": [], "index": [], "data": []}),
        (cl.Plotly("x", figure=Figure()), {"data": [], "layout": {}}),
        (cl.Plotly("x", figure={"data": [{"y": (1, 2)}]}), {"data": [{"y": [1, 2]}]}),
    ],
)
async def test_structures_are_stored_as_json(
    bench: Bench, element: cl.Element, content: object
) -> None:
    async def handler() -> None:
        await element.send()

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    stored = (await elements(bench))["x"]
    assert (stored.mime, stored.type) == ("application/json", type(element).__name__.lower())
    assert json.loads(kept(bench)[stored.id]) == content


@pytest.mark.parametrize(
    ("element", "mime"),
    [
        (cl.Image("plot", content=PNG), "image/png"),
        (cl.Image("cat.html", content=PNG), "image/png"),
        (cl.Image("cat.jpg", content=PNG), "image/jpeg"),
        (cl.Image("x", content=b"unknown"), "application/octet-stream"),
        (cl.Image("x", content=PNG, mime="image/x-mine"), "image/x-mine"),
        (cl.Text("page.html", content="<b>"), "text/plain"),
        (cl.File("page.html", content="<b>"), "text/html"),
        (cl.File("table.csv", content="a"), "text/csv"),
        (cl.Pdf("x", content=b""), "application/pdf"),
        (cl.Audio("x", content=b"RIFF....WAVEfmt "), "audio/wav"),
        (cl.Audio("x.mp3", content=b""), "audio/mpeg"),
        (cl.Video("x", content=b"....ftypisom"), "video/mp4"),
        (cl.Video("x", content=memoryview(b"\x1aE\xdf\xa3")), "video/webm"),
    ],
)
async def test_the_media_type_is_the_one_given_else_guessed(
    bench: Bench, element: cl.Element, mime: str
) -> None:
    async def handler() -> None:
        await element.send()

    assert (await bench.run(handler)).status == "ok"
    [stored] = (await bench.snapshot()).elements
    assert stored.mime == mime


async def test_hints_for_the_client_travel_along(bench: Bench) -> None:
    async def handler() -> None:
        await cl.Audio("a", content=b"", auto_play=True).send()
        await cl.Video("b", content=b"", size="large", player_config={"muted": True}).send()

    await bench.run(handler)
    found = await elements(bench)
    assert found["a"].props == {"auto_play": True}
    assert found["b"].props == {"size": "large", "player_config": {"muted": True}}


class Said(logging.Handler):
    """Tells when something is logged."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self.message:
            self.event.set()


@contextmanager
def said(message: str) -> Iterator[threading.Event]:
    handler = Said(message)
    logger = logging.getLogger("stepwire.elements")
    logger.addHandler(handler)
    try:
        yield handler.event
    finally:
        logger.removeHandler(handler)


WAITS = "Redis takes nothing at the moment, an element waits"


async def test_an_element_waits_for_a_redis_that_is_away(
    settings: Settings, session_id: str
) -> None:
    with embedded_server(append_only=True) as own, said(WAITS) as waits:

        async def handler() -> None:
            async with cl.Step("one"):
                await asyncio.to_thread(own.stop)
                sending = asyncio.create_task(cl.File("a", content=b"1").send())
                assert await asyncio.to_thread(waits.wait, 30)
                await asyncio.to_thread(own.start)
                await sending

        settings = settings.model_copy(update={"redis_url": own.url})
        async with open_bench(settings, session_id) as bench:
            run = await bench.run(handler)
            assert run.status == "ok", run.error
            assert list(await elements(bench)) == ["a"]


async def test_an_element_gives_up_on_a_redis_that_stays_away(
    settings: Settings, session_id: str
) -> None:
    settings = settings.model_copy(update={"publish_timeout_s": 0.2})
    errors = []
    with embedded_server(append_only=True) as own:

        async def handler() -> None:
            await asyncio.to_thread(own.stop)
            with pytest.raises(cl.StoreUnavailable, match="STEPWIRE_PUBLISH_TIMEOUT_S") as raised:
                await cl.File("a", content=b"1").send()
            errors.append(raised.value)
            await asyncio.to_thread(own.start)

        settings = settings.model_copy(update={"redis_url": own.url})
        async with open_bench(settings, session_id) as bench:
            with suppress(cl.StoreUnavailable):
                await bench.run(handler)
    assert len(errors) == 1


async def test_all_keys_of_a_session_with_elements_expire_at_one_instant(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("one", elements=[cl.File("a", content=b"1")]) as step:
            await step.stream_token("text")

    run = await bench.run(handler)
    assert run.status == "ok", run.error
    redis = client_of(bench.log.store)
    keys: Any = await redis.keys(f"*{bench.session_id}*")
    assert SessionKeys.of(bench.session_id).files.encode() in keys
    assert len({await redis.execute_command("PEXPIRETIME", key) for key in keys}) == 1

"""A gateway under a path of its site: what it gives out leads back to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from prefixed import EXAMPLES, PREFIX, UVICORN, WAYS, prefixed, process
from sse import Client, Received, first_of, reading
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.errors import SettingsError
from stepwire_core.settings import Settings, load_settings
from stepwire_core.values.cursor import Cursor
from stepwire_gateway import create_app, running
from stepwire_gateway.prefix import Prefix

CONTENT = b"x" * (2 * 1024 * 1024)
"""More than other bodies may have."""


@pytest.fixture(scope="module", params=WAYS)
def gateway(request: pytest.FixtureRequest, shared_stack: Stack) -> Iterator[Gateway]:
    with prefixed(request.param, shared_stack) as started:
        yield started


def get(gateway: Gateway, address: str) -> httpx.Response:
    """As a client that was given the address resolves it (RFC 3986, section 5)."""
    return httpx.get(urljoin(gateway.url, address), timeout=15)


def test_an_upload_of_any_size_passes_and_its_addresses_lead_to_it(gateway: Gateway) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/elements"
    response = gateway.client.post(path, params={"name": "a.bin"}, content=CONTENT)
    assert response.status_code == 201, response.text
    assert response.headers["location"] == response.json()["url"]
    assert response.headers["location"].startswith(f"{PREFIX}/v1/")
    [shown] = gateway.snapshot(session)["elements"]
    for address in (response.headers["location"], shown["url"]):
        assert get(gateway, address).content == CONTENT
    too_large = gateway.client.post("/v1/sessions", content=CONTENT)
    assert too_large.status_code == 413
    assert "STEPWIRE_MAX_BODY_BYTES" in too_large.json()["detail"]


def test_the_addresses_in_a_stream_lead_to_what_they_name(gateway: Gateway) -> None:
    """The same from the log, live, and in a snapshot."""
    session = gateway.create_session()
    cursor = Cursor.parse(gateway.snapshot(session)["cursor"])
    first = gateway.upload(session, "first.txt", b"first")

    async def read() -> list[str]:
        found: list[str] = []
        is_live = asyncio.Event()

        def enough(event: Received) -> bool:
            if event.type == "element.add":
                found.append(event.data["url"])
                is_live.set()
            return len(found) == 2

        async def upload_another() -> None:
            await is_live.wait()
            await asyncio.to_thread(gateway.upload, session, "second.txt", b"second")

        await asyncio.gather(
            events(gateway, session, Client(Cursor(cursor.epoch, 0)), enough), upload_another()
        )
        return found

    urls = asyncio.run(read())
    [snapshot] = asyncio.run(events(gateway, session, Client(), lambda _: True))
    assert [element["url"] for element in snapshot.data["elements"]] == urls
    assert first in urls[0]
    assert [get(gateway, url).content for url in urls] == [b"first", b"second"]


async def events(
    gateway: Gateway, session: str, client: Client, enough: Callable[[Received], bool]
) -> list[Received]:
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=gateway.url, timeout=30) as http:
        return await client.read(http, f"/v1/sessions/{session}/events", enough)


def test_the_description_of_the_api_says_where_it_is(gateway: Gateway) -> None:
    document = gateway.client.get("/openapi.json").json()
    assert document["servers"] == [{"url": PREFIX}]


def test_an_address_that_leads_nowhere_is_named_as_the_client_has_it(gateway: Gateway) -> None:
    problem = gateway.client.get("/nothing").json()
    assert (problem["code"], f"{PREFIX}/nothing" in problem["detail"]) == ("not_found", True)


def test_a_mounted_gateway_that_is_not_run_says_what_to_do(stack: Stack) -> None:
    code = (EXAMPLES / "mounted.py").read_text().replace("FastAPI(lifespan=lifespan)", "FastAPI()")
    file = stack.folder / "forgotten.py"
    file.write_text(code)
    port = free_port()
    with (
        process([UVICORN[0], str(file)], stack, PORT=str(port)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as client,
    ):

        def answers() -> bool:
            try:
                return client.get("/").is_success
            except httpx.TransportError:
                return False

        wait_until(answers, "the application")
        for path in ("/stepwire/healthz", "/stepwire/v1/sessions/none", "/stepwire/"):
            response = client.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "not_running")
            assert "stepwire_gateway.running(gateway)" in response.json()["detail"]
        [log] = stack.folder.glob("forgotten.py-*.log")
        assert log.read_text().count("stepwire_gateway.running(gateway)") == 1
        assert "Traceback" not in log.read_text()


@pytest.mark.anyio
async def test_a_gateway_whose_application_fails_no_longer_runs(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "health"
    gateway = create_app(settings.model_copy(update={"health_file": str(file)}))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://localhost")

    async def fails() -> None:
        async with running(gateway):
            assert (await client.get("/healthz")).status_code == 200
            async with asyncio.timeout(30):
                while not file.exists():  # noqa: ASYNC110 - a file has no events
                    await asyncio.sleep(0)
            raise LookupError

    async with client:
        with pytest.raises(LookupError):
            await fails()
        assert (await client.get("/healthz")).json()["code"] == "not_running"
    assert not file.exists()


def test_an_application_with_a_gateway_in_it_ends_while_streams_are_open(stack: Stack) -> None:
    port = free_port()
    command = [UVICORN[0], str(EXAMPLES / "mounted.py")]
    with process(command, stack, PORT=str(port)) as outer:
        gateway = Gateway(outer, port)  # type: ignore[arg-type]
        gateway.url += PREFIX
        gateway.client = httpx.Client(base_url=gateway.url, timeout=15)
        wait_until(gateway.ready, "the gateway")
        session = gateway.create_session()
        with reading(gateway.client, f"/v1/sessions/{session}/events") as stream:
            first_of(stream, "snapshot")
            outer.terminate()
            # The library cuts streams off under servers that are not ours: clients come back.
            with suppress(httpx.RemoteProtocolError):
                assert list(stream) == []
        # uvicorn raises the signal again when it has ended in order.
        assert outer.wait(30) in (0, -15)
    [log] = stack.folder.glob("mounted.py-*.log")
    assert "Application shutdown complete" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("path", ["stepwire", "/stepwire/", "/", "/a//b", "/a/../b", "/ä", "/v1/x"])
def test_a_path_of_another_form_is_a_wrong_setting(path: str) -> None:
    with pytest.raises(SettingsError, match="STEPWIRE_ROOT_PATH="):
        load_settings(root_path=path)


def test_at_the_root_documents_go_out_as_they_are_stored() -> None:
    stored = b'{"url": "/v1/sessions/s/elements/e"}'
    assert Prefix(None).element(stored) is stored


@pytest.mark.parametrize(
    "stored", [b"no JSON", b"[]", b'{"url": 7}', b"{}", b'{"url": "https://elsewhere.example/a"}']
)
def test_what_is_not_an_address_of_ours_stays_as_it_is(stored: bytes) -> None:
    assert b"/stepwire" not in Prefix("/stepwire").element(stored)


def test_a_gateway_that_is_called_under_two_paths_says_so(caplog: pytest.LogCaptureFixture) -> None:
    prefix = Prefix(Settings().root_path)
    with caplog.at_level(logging.WARNING):
        prefix.learn("/a")
        prefix.learn("/a")
        assert not caplog.records
        prefix.learn("/b")
    assert "two paths" in caplog.text
    assert prefix.address("/v1/sessions/s") == "/a/v1/sessions/s"

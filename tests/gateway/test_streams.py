"""Event streams over HTTP: the same under our own server, which writes to its clients directly, and
under any other ASGI server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from sse import event_of
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import free_port
from stepwire_gateway.api.event_stream import spread_ms
from wire import Wire, request

PING_S = "0.2"
MESSAGES = 20
LARGE = 900_000
STREAMS = 40
AT_ONCE = 100

Serving = Callable[[Stack], AbstractContextManager[str]]


@contextmanager
def our_server(stack: Stack) -> Iterator[str]:
    yield stack.gateway(STEPWIRE_PING_S=PING_S).url


@contextmanager
def another_server(stack: Stack) -> Iterator[str]:
    port = free_port()
    application = ("--factory", "stepwire_gateway.app:create_app")
    command = [sys.executable, "-m", "uvicorn", *application, "--port", str(port), "--http", "h11"]
    process = subprocess.Popen(command, env=stack.env | {"STEPWIRE_PING_S": PING_S})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("serving", [our_server, another_server])
def test_a_stream_is_whole_whatever_serves_it(serving: Serving, stack: Stack) -> None:
    """httpx refuses a body whose chunks are malformed or that stops without its last one."""
    with serving(stack) as url, httpx.Client(base_url=url, timeout=15) as client:
        wait_until(lambda: is_ready(client), "the server")
        session = client.post("/v1/sessions", json={}).json()["session_id"]
        path = f"/v1/sessions/{session}"
        with client.stream("GET", f"{path}/events") as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-accel-buffering"] == "no"
            # It is the server's, and makes an answer of HTTP/2 malformed (RFC 9113, 8.2.2).
            assert "connection" not in response.headers
            pieces = response.iter_text()
            text = next(pieces)
            while "event: snapshot" not in text:
                text += next(pieces)
            for number in range(MESSAGES):
                body = {"content": f"message {number}"}
                assert client.post(f"{path}/messages", json=body).status_code == 202
            while f"message {MESSAGES - 1}" not in text:
                text += next(pieces)
            pings = text.count(": ping\n\n")
            while text.count(": ping\n\n") < pings + 2:
                text += next(pieces)
            # RFC 9110, 9.3.2: the same headers, and the answer is over.
            head = client.head(f"{path}/events")
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-type", "cache-control", "x-accel-buffering"):
                assert head.headers[name] == response.headers[name]
            assert client.delete(path).is_success
            text += "".join(pieces)
        assert client.head(f"{path}/events").status_code == 404
    assert text.startswith("retry: ")
    assert text.endswith("\n\n")
    received = [event for block in text.split("\n\n")[:-1] if (event := event_of(block))]
    contents = [event.data["output"] for event in received if event.type == "step.start"]
    assert contents == [f"message {number}" for number in range(MESSAGES)]


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_streams_that_clients_leave_are_closed(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    for _ in range(3):
        with gateway.client.stream("GET", f"/v1/sessions/{session}/events") as response:
            pieces = response.iter_text()
            assert next(pieces)
            assert streams(gateway) == 1
        wait_until(lambda: streams(gateway) == 0, "the gateway notices")


def test_a_request_behind_a_stream_has_its_turn_when_that_is_over(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"/v1/sessions/{session}/events"))
        assert wire.head().status == 200
        until(wire, b"event: snapshot")
        wire.send(request("GET", "/healthz"))
        gateway.send(session, "still streaming")
        until(wire, b"still streaming")
        assert gateway.client.delete(f"/v1/sessions/{session}").is_success
        while wire.chunk():
            pass
        assert wire.answer().status == 200


def test_what_streams_to_a_client_of_http_1_0_is_in_no_chunks(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"/v1/sessions/{session}/events", version="1.0"))
        assert wire.head().status == 200
        lines = [wire.line()]
        while not lines[-1].startswith("data: "):
            lines.append(wire.line())
        for number in range(3):
            # Each finds a stream that has nothing else to do.
            gateway.send(session, f"message {number}")
            while f'"output":"message {number}"' not in lines[-1]:
                lines.append(wire.line())
    fields = ("", "id: ", "event: ", "data: ", "retry: ")
    assert [line for line in lines if line and not line.startswith(fields[1:])] == []


def test_clients_that_come_back_at_once_all_go_on_where_they_were(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_PING_S="3600")
    session = gateway.create_session()
    gateway.send(session, "before")
    path = f"/v1/sessions/{session}"
    cursor = gateway.client.get(path).json()["cursor"]
    gateway.send(session, "meanwhile")
    with ExitStack() as open_clients:
        clients = [open_clients.enter_context(Wire(gateway.port)) for _ in range(AT_ONCE)]
        for client in clients:
            client.send(request("GET", f"{path}/events", f"Last-Event-ID: {cursor}"))
        for client in clients:
            assert client.head().status == 200
            assert b"before" not in until(client, b"meanwhile")
        wait_until(lambda: streams(gateway) == AT_ONCE, "all have joined")
        gateway.send(session, "afterwards")
        for client in clients:
            assert b"meanwhile" not in until(client, b"afterwards")
    wait_until(lambda: streams(gateway) == 0, "all have left")


def until(wire: Wire, mark: bytes) -> bytes:
    """The chunks up to the one with the mark."""
    chunks = [wire.chunk()]
    while mark not in chunks[-1]:
        assert chunks[-1], f"the stream ended before {mark!r}"
        chunks.append(wire.chunk())
    return b"".join(chunks)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, as on Linux")
def test_an_idle_stream_keeps_neither_request_nor_task(stack: Stack) -> None:
    """With them it took 32 KiB."""
    gateway = stack.gateway()
    session = gateway.create_session()
    asked = request("GET", f"/v1/sessions/{session}/events")
    with ExitStack() as open_clients:
        before = 0
        for number in range(5 * AT_ONCE):
            client = open_clients.enter_context(Wire(gateway.port))
            client.send(asked).head()
            until(client, b"event: snapshot")
            if number == AT_ONCE:
                before = resident_bytes(gateway)
        assert (resident_bytes(gateway) - before) / (4 * AT_ONCE) < 16 * 1024


@pytest.mark.parametrize(("streams", "longest_ms"), [(1, 2_000), (1_000, 2_000), (5_000, 5_500)])
def test_the_more_clients_leave_at_once_the_longer_they_take_to_come_back(
    streams: int, longest_ms: int
) -> None:
    delays_ms = [spread_ms(streams) for _ in range(1_000)]
    assert min(delays_ms) >= 500
    assert longest_ms * 0.9 < max(delays_ms) <= longest_ms


def streams(gateway: Gateway) -> int:
    [line] = [
        line
        for line in gateway.client.get("/metrics").text.splitlines()
        if line.startswith("stepwire_gateway_streams ")
    ]
    return int(float(line.split()[1]))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, as on Linux")
def test_an_idle_stream_does_not_hold_the_snapshot_that_it_began_with(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    gateway.send(session, "x" * LARGE)
    with ExitStack() as open_streams:
        before, kept = 0, []
        for number in range(STREAMS):
            response = open_streams.enter_context(
                gateway.client.stream("GET", f"/v1/sessions/{session}/events")
            )
            pieces, size = response.iter_bytes(), 0
            kept.append(pieces)
            while size < LARGE:
                size += len(next(pieces))
            if number == STREAMS // 4:
                before = resident_bytes(gateway)
        # Not all freed memory is given back, but each stream would hold twice as much.
        assert resident_bytes(gateway) - before < STREAMS * LARGE / 4


def resident_bytes(gateway: Gateway) -> int:
    assert gateway.child.process is not None
    status = Path(f"/proc/{gateway.child.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024

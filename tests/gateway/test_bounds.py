"""Clients that send slowly, without end, or too much: bounded in time, in memory, in number."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
import uvicorn
from uvicorn.server import ServerState

from stack import Gateway, Stack, wait_until
from stepwire_gateway.http.connection_end import Bounds
from stepwire_gateway.http.requests import CROWDED_ROOM, MIN_BODY_BYTES_PER_S
from stepwire_gateway.http.uvicorn_protocol import Connection
from wire import Wire, request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HALVES = 300
MANY = 40 * 1024 * 1024
LIMIT_S = 60

on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads /proc, as on Linux"
)


Gateways = Callable[..., Gateway]


@pytest.fixture(scope="module")
def gateways(shared_stack: Stack) -> Gateways:
    """Gateways with these settings; tests that change nothing in one share it."""
    known: dict[tuple[tuple[str, str], ...], Gateway] = {}

    def gateway(**env: str) -> Gateway:
        key = tuple(sorted(env.items()))
        if key not in known:
            known[key] = shared_stack.gateway(port=None, **env)
        return known[key]

    return gateway


def upload(session: str, *fields: str) -> bytes:
    path = f"/v1/sessions/{session}/elements?name=x"
    return request("POST", path, "Content-Type: text/plain", *fields)


def status_of(gateway: Gateway, field: str) -> int:
    """A field of the process's status in kB."""
    assert gateway.child.process is not None
    status = Path(f"/proc/{gateway.child.process.pid}/status").read_text()
    [kilobytes] = re.findall(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes)


def refusals(gateway: Gateway, code: str) -> float:
    text = gateway.client.get("/metrics").text
    found = re.findall(
        rf'^stepwire_gateway_refusals_total\{{code="{code}",.*\}} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, found))


# -- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/healthz")[:-2],
        b"GET /health",
        b"G",
        b"\r\n" + request("GET", "/healthz", f"X: {'x' * 9000}")[:-4],
    ],
)
def test_headers_that_do_not_end_are_given_up(gateways: Gateways, sent: bytes) -> None:
    gateway = gateways(STEPWIRE_HEADERS_TIMEOUT_S="1")
    before = refusals(gateway, "request_timeout")
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(gateway.port)) for _ in range(HALVES)]
        for wire in wires:
            wire.send(sent)
        # Everybody else is served meanwhile.
        assert gateway.client.get("/readyz").status_code == 200
        for wire in wires:
            answer = wire.answer()
            assert (answer.status, answer.json["code"]) == (408, "request_timeout")
            assert wire.is_closed
    assert refusals(gateway, "request_timeout") - before == HALVES


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(
    gateways: Gateways,
) -> None:
    gateway = gateways(STEPWIRE_HEADERS_TIMEOUT_S="1")
    # A 408 would be taken for the answer to what the client sends at this very moment.
    for sent in (b"", b"\r\n", b"\r\n" * 100):
        with Wire(gateway.port) as wire:
            assert wire.send(sent).is_closed
    with Wire(gateway.port) as wire:
        assert wire.send(request("GET", "/healthz")).answer().status == 200
        # Empty lines are not a request, and hold nothing open.
        assert wire.send(b"\r\n").is_closed


def test_headers_may_wait_behind_an_answer_that_takes_longer(shared_stack: Stack) -> None:
    gateway = shared_stack.gateway(
        port=None, STEPWIRE_HEADERS_TIMEOUT_S="0.2", STEPWIRE_PING_S="0.2"
    )
    session = gateway.create_session()
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"/v1/sessions/{session}/events") + b"GET /healthz HT")
        assert wire.head().status == 200
        for _ in range(10):
            wire.chunk()
        gateway.client.delete(f"/v1/sessions/{session}")
        while wire.chunk():
            pass
        assert wire.send(b"TP/1.1\r\nHost: x\r\n\r\n").answer().status == 200


@pytest.mark.parametrize("part", ["", "he"])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_end_is_given_up(gateways: Gateways, framing: str, part: str) -> None:
    gateway = gateways(STEPWIRE_BODY_TIMEOUT_S="1")
    session = gateway.create_session()
    begun = part if framing.startswith("Content") or not part else f"5\r\n{part}"
    with Wire(gateway.port) as wire:
        wire.send(upload(session, framing), begun.encode())
        answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (408, "request_timeout")
        assert "STEPWIRE_BODY_TIMEOUT_S" in answer.json["detail"]
        assert wire.is_closed
    assert gateway.snapshot(session)["elements"] == []
    assert "Traceback" not in gateway.child.output


def test_an_idle_connection_is_kept_for_as_long_as_is_set(gateways: Gateways) -> None:
    gateway = gateways(STEPWIRE_KEEP_ALIVE_S="1")
    with Wire(gateway.port) as wire:
        for _ in range(2):
            assert wire.send(request("GET", "/healthz")).answer().status == 200
        assert wire.is_closed


def test_by_default_an_idle_connection_outlives_the_usual_proxy() -> None:
    # nginx, AWS and Google keep theirs for 60 s at most; a request must not meet our close.
    assert Bounds().keep_alive_s == 75


UNSHARE = ("unshare", "--net", "--map-root-user")


def can_have_a_network_of_its_own() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_have_a_network_of_its_own(), reason="needs 'unshare --net' and 'ip'")
def test_clients_that_vanish_without_a_word_are_given_up(tmp_path: Path) -> None:
    """The kernel alone would go on trying for about 15 minutes."""
    script = Path(__file__).with_name("vanishing.py")
    done = subprocess.run(
        [*UNSHARE, sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": str(script.parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- size ----------------------------------------------------------------------------------------


@on_linux
@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (request("GET", "/healthz")[:-2] + b"X: ", 431),
        (b"GET /", 414),
        (request("GET", "/healthz")[:-2] + b"X", 431),
        (request("POST", "/v1/tokens", "Transfer-Encoding: chunked") + b"5;x=", 431),
        (request("POST", "/v1/tokens", "Transfer-Encoding: chunked") + b"0\r\nX: ", 431),
    ],
    ids=["field", "address", "name", "chunk extension", "trailer"],
)
def test_what_is_too_long_is_refused_and_takes_no_memory(
    gateways: Gateways, begin: bytes, status: int
) -> None:
    gateway = gateways()
    assert gateway.client.get("/healthz").status_code == 200
    before = status_of(gateway, "VmHWM")
    with Wire(gateway.port) as wire:
        wire.send(begin, *[b"a" * 65536] * (MANY // 65536))
        answer = wire.answer()
        assert answer.all("connection") == ["close"]
        if answer.status != 404:
            assert answer.status == status
            assert "STEPWIRE_MAX_HEADER_BYTES" in answer.json["detail"]
        assert wire.rest() == b""
    # A fifth of what was sent; uvicorn alone takes twice as much as was sent.
    assert status_of(gateway, "VmHWM") - before < MANY / 1024 / 5


@pytest.mark.parametrize("packets", [1, 40])
def test_headers_up_to_the_limit_are_taken_and_no_more(gateways: Gateways, packets: int) -> None:
    gateway = gateways(STEPWIRE_MAX_HEADER_BYTES="2000")

    def answer_to(head: bytes, body: bytes = b"") -> int:
        size = len(head + body) // packets + 1
        parts = [(head + body)[at : at + size] for at in range(0, len(head + body), size)]
        with Wire(gateway.port) as wire:
            return wire.send(*parts).answer().status

    assert answer_to(request("GET", "/healthz", f"X: {'a' * 1900}")) == 200
    assert answer_to(request("GET", "/healthz", f"X: {'a' * 2100}")) == 431
    assert answer_to(request("GET", "/healthz", *["X: a"] * 500)) == 431
    assert answer_to(request("GET", f"/healthz?{'a' * 1900}")) == 200
    assert answer_to(request("GET", f"/healthz?{'a' * 2100}")) == 414
    # A body is none of it, however much of it comes with the headers.
    fields = ("Content-Type: application/json", "Content-Length: 100000")
    assert answer_to(request("POST", "/v1/sessions", *fields), b"{}".ljust(100_000)) == 201


# -- number --------------------------------------------------------------------------------------


def test_one_connection_too_many_is_told_so(shared_stack: Stack) -> None:
    gateway = shared_stack.gateway(port=None, STEPWIRE_MAX_CONNECTIONS="3")
    session = gateway.create_session()
    gateway.client.close()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(gateway.port)) for _ in range(3)]
        for wire in wires:
            assert wire.send(request("GET", "/healthz")).answer().status == 200
        path = f"/v1/sessions/{session}"
        with Wire(gateway.port) as wire:
            answer = wire.send(request("GET", path)).answer()
            assert (answer.status, answer.json["code"]) == (503, "too_many_connections")
            assert "STEPWIRE_MAX_CONNECTIONS" in answer.json["detail"]
            assert answer.all("connection") == ["close"]
            assert answer.all("retry-after")
            assert wire.is_closed
        # An EventSource would give up for good on 503.
        with Wire(gateway.port) as wire:
            wire.send(request("GET", f"{path}/events", "Accept: text/event-stream"))
            answer = wire.answer()
            assert answer.status == 200
            comment, retry, *_ = answer.body.split(b"\n")
            assert comment.startswith(b": limit_exceeded: this gateway has all the connections")
            assert retry == b"retry: 3000"
            assert wire.is_closed
        # A full gateway is a healthy one, and it is now that its metrics are looked at.
        for probe in ("/healthz", "/readyz", "/metrics"):
            with Wire(gateway.port) as wire:
                answer = wire.send(request("GET", probe)).answer()
                assert (answer.status, answer.all("connection")) == (200, ["close"])
        # The connections within the limit are served as before.
        assert wires[0].send(request("GET", path)).answer().status == 200
        wires.pop().close()

        def has_room() -> bool:
            with Wire(gateway.port) as wire:
                return wire.send(request("GET", path)).answer().status == 200

        wait_until(has_room, "the place that has become free is taken")


def test_beyond_all_room_connections_are_dropped(shared_stack: Stack) -> None:
    gateway = shared_stack.gateway(port=None, STEPWIRE_MAX_CONNECTIONS="1")
    gateway.client.close()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(gateway.port)) for _ in range(CROWDED_ROOM + 20)]
        assert wires[-1].is_closed
        assert wires[0].send(request("GET", "/readyz")).answer().status == 200


@contextmanager
def soft_file_limit(limit: int) -> Iterator[None]:
    """What we start meanwhile has this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_of_open_files_is_no_limit(shared_stack: Stack) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2_000:
        pytest.skip("the hard limit of open files is low here")
    with soft_file_limit(256):
        gateway = shared_stack.gateway(port=None, STEPWIRE_MAX_STREAMS="400")
    assert "cannot be reached" not in gateway.child.output
    session = gateway.create_session()
    with ExitStack() as stack:
        for _ in range(350):
            wire = stack.enter_context(Wire(gateway.port))
            wire.send(request("GET", f"/v1/sessions/{session}/events"))
            assert wire.head().status == 200
        assert gateway.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"STEPWIRE_MAX_STREAMS": "500"}, "STEPWIRE_MAX_STREAMS cannot be reached"),
        ({"STEPWIRE_MAX_CONNECTIONS": "600"}, "STEPWIRE_MAX_CONNECTIONS cannot be reached"),
        ({"STEPWIRE_MAX_CONNECTIONS": "100"}, None),
    ],
)
def test_a_hard_limit_that_is_too_low_is_said_and_kept_to(
    shared_stack: Stack, settings: dict[str, str], says: str | None
) -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\n"
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "from stepwire_core.settings import load_settings\n"
        "from stepwire_gateway.http.open_files import room_for_connections\n"
        "print(room_for_connections(load_settings()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=shared_stack.env | settings,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert done.stdout == ("100\n" if says is None else "172\n")
    assert (says or "") in done.stderr
    assert bool(done.stderr) == bool(says)


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", ["1", "3"])
def test_on_sigterm_an_upload_that_does_not_end_is_refused_and_nothing_goes_wrong(
    shared_stack: Stack, grace: str
) -> None:
    gateway = shared_stack.gateway(port=None, STEPWIRE_GRACE_S=grace)
    session = gateway.create_session()
    with Wire(gateway.port) as begun, Wire(gateway.port) as json, Wire(gateway.port) as half:
        begun.send(upload(session, "Expect: 100-continue", "Content-Length: 5"))
        assert begun.answer().status == 100
        json.send(request("POST", "/v1/sessions", "Expect: 100-continue", "Content-Length: 5"))
        assert json.answer().status == 100
        half.send(request("GET", "/healthz")[:-2])
        gateway.child.signal(signal.SIGTERM)
        for wire in (begun, json):
            answer = wire.answer()
            assert (answer.status, answer.json["code"]) == (503, "shutting_down")
            assert answer.all("retry-after")
            assert wire.is_closed
        assert half.is_closed
    wait_until(lambda: gateway.child.exit_code is not None, "the gateway ends")
    assert gateway.child.exit_code == 0
    assert "Traceback" not in gateway.child.output
    assert "ERROR" not in gateway.child.output


def test_on_sigterm_an_upload_may_still_arrive(shared_stack: Stack) -> None:
    gateway = shared_stack.gateway(port=None, STEPWIRE_GRACE_S="60")
    session = gateway.create_session()
    with Wire(gateway.port) as wire:
        wire.send(upload(session, "Expect: 100-continue", "Content-Length: 5"))
        assert wire.answer().status == 100
        gateway.child.signal(signal.SIGTERM)
        wait_until(lambda: "Shutting down" in gateway.child.output, "it shuts down")
        answer = wire.send(b"hello").answer()
        assert (answer.status, answer.all("connection")) == (201, ["close"])
        assert wire.is_closed


# -- in this process -----------------------------------------------------------------------------


class Clock:
    """As much of an event loop as connections use; time passes only when a test says so."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self._timers: list[tuple[float, asyncio.TimerHandle, Callable[[], object]]] = []

    def time(self) -> float:
        return self._now

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return self._loop.create_task(coro, **options)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        handle = self._loop.call_later(3600, callback, *args)
        self._timers.append((self._now + delay, handle, partial(callback, *args)))
        return handle

    def advance(self, seconds: float) -> None:
        self._now += seconds
        due = [timer for timer in self._timers if timer[0] <= self._now]
        self._timers = [timer for timer in self._timers if timer[0] > self._now]
        for _, handle, callback in due:
            if not handle.cancelled():
                handle.cancel()
                callback()


@pytest.mark.anyio
@pytest.mark.parametrize(("missing", "status"), [(0, b"200 OK"), (1, b"408 Request Timeout")])
async def test_a_slow_body_that_moves_arrives(missing: int, status: bytes) -> None:
    """So much must come in each timeout; a byte less is refused, even at the very end."""
    seconds, parts = 3.0, 20
    part = b"x" * int(MIN_BODY_BYTES_PER_S * seconds)
    came, more = -1, asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal came
        came, is_over = 0, False
        more.set()
        while not is_over:
            message = await receive()
            came += len(message.get("body", b""))
            is_over = not message.get("more_body", False)
            more.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def arrived(size: int) -> None:
        while came < size:
            more.clear()
            await more.wait()

    with anyio.fail_after(LIMIT_S):
        clock = Clock()
        bounds = Bounds(body_timeout_s=seconds)
        async with serving(bounds, application, clock) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("POST", "/", f"Content-Length: {len(part) * parts}"))
            # The time of the body begins with the head, whatever else comes in one packet.
            await arrived(0)
            for number in range(1, parts):
                writer.write(part)
                await arrived(number * len(part))
                clock.advance(seconds)
            writer.write(part[missing:])
            await arrived(parts * len(part) - missing)
            clock.advance(seconds)
            assert await reader.readline() == b"HTTP/1.1 %b\r\n" % status
            writer.close()


async def fields_after_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with the header fields, as they are when all has come."""
    while (await receive()).get("more_body"):
        pass
    body = b"\n".join(b"%b: %b" % pair for pair in scope["headers"])
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start | {"headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    bounds: Bounds,
    application: ASGIApp = fields_after_the_body,
    clock: Clock | None = None,
) -> AsyncIterator[tuple[int, ServerState]]:
    """The port of a server of such connections, and what it knows of them."""
    config = uvicorn.Config(application, http=Connection.within(bounds), log_config=None)
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection.within(bounds)(config, state, {}, cast("Any", clock)), "127.0.0.1", 0
    )
    async with listener:
        yield listener.sockets[0].getsockname()[1], state
        for connection in state.connections:
            connection.transport.abort()


@pytest.mark.anyio
async def test_trailers_do_not_become_headers() -> None:
    text = request("POST", "/", "Transfer-Encoding: chunked", "X-Before: body")
    text += b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nHost: stranger.example\r\n\r\n"
    with anyio.fail_after(LIMIT_S):
        async with serving(Bounds()) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for packet in (text[:-30], text[-30:]):
                writer.write(packet)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = re.findall(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length))
            assert body.splitlines() == [
                b"host: localhost",
                b"transfer-encoding: chunked",
                b"x-before: body",
            ]
            writer.close()


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
@pytest.mark.parametrize(("send_timeout_s", "expected_ms"), [(7.5, 7500), (1e9, 2**31 - 1)])
async def test_the_kernel_gives_up_a_client_that_has_vanished(
    send_timeout_s: float, expected_ms: int
) -> None:
    with anyio.fail_after(LIMIT_S):
        async with serving(Bounds(send_timeout_s=send_timeout_s)) as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("GET", "/"))
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            [connection] = state.connections
            taken = connection.transport.get_extra_info("socket")
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == expected_ms
            writer.close()

"""What the commands hear of a gateway, over a real connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from stepwire_cli.client import StreamLost, read_events

from stack import Stack
from stepwire_core.values.ids import new_id
from tokens import API_KEY, SECRET, token

TAKEN = 'id: 1-1\nevent: run.start\ndata: {"a": 1}\n\n'


@contextmanager
def answering(*pieces: str) -> Iterator[str]:
    """The address of a server that answers every request with this stream."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece.encode())
                self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((": store_unavailable: no Redis\nretry: 3000\n\n",), "store_unavailable: no Redis"),
        ((": store_un", "available: no Redis\nretry", ": 3000\n\n"), "store_unavailable: no Redis"),
        (("retry: 3000\n\n",), ""),
        ((), ""),
        (("retry: 1000\n\n", TAKEN, ": ping\n\n"), ""),
        ((": " + "x" * 5_000,), "x" * 1_998),
    ],
)
def test_an_empty_stream_is_lost_with_what_its_comment_says(
    pieces: tuple[str, ...], why: str
) -> None:
    with answering(*pieces) as url:
        events: list[object] = []
        with pytest.raises(StreamLost) as lost:
            events.extend(read_events("s", url=url, after=None))
    assert lost.value.why == why


def test_the_events_of_a_stream_come_as_they_were_sent() -> None:
    with answering("retry: 1000\n\n", TAKEN[:20], TAKEN[20:]) as url:
        reading = read_events("s", url=url, after=None)
        assert next(reading).retry == 1000
        event = next(reading)
        assert (event.id, event.event, event.data) == ("1-1", "run.start", '{"a": 1}')
        reading.close()


def test_a_gateway_that_has_too_many_streams_says_so(stack: Stack) -> None:
    gateway = stack.gateway(
        STEPWIRE_AUTH_SECRETS=SECRET,
        STEPWIRE_API_KEYS=API_KEY,
        STEPWIRE_MAX_STREAMS_PER_SUBJECT="1",
    )
    ada = token("*", rights=("read", "write"), sub=new_id())
    headers = {"Authorization": f"Bearer {ada}"}
    session = gateway.client.post("/v1/sessions", headers=headers).json()["session_id"]
    first = read_events(session, url=gateway.url, token=ada, after=None)
    assert next(first).retry == 1000
    with pytest.raises(StreamLost) as lost:
        list(read_events(session, url=gateway.url, token=ada, after=None))
    assert lost.value.why.startswith("limit_exceeded: ")
    assert "STEPWIRE_MAX_STREAMS_PER_SUBJECT" in lost.value.why
    first.close()

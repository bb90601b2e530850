"""One client of a chat, as a program: sends a message, and reads until the answer is complete.

    python benchmarks/one_client.py sse|socketio PORT TOKENS

Prints the seconds from the message to the end of the answer, and the processor time that this took
it, as JSON. While the answer comes it does nothing but put away what it receives, and look for the
end; it takes that apart afterwards, to see that no token is missing.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import sys
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Final

BUFFER_BYTES: Final = 1 << 18
LIMIT_S: Final = 120.0

JSON: Final = {"Content-Type": "application/json"}


def token(number: int) -> str:
    """What the handlers stream."""
    return f"token {number % 997} "


class Received:
    """The bytes that came over a connection, in the pieces in which they came."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pieces: list[bytes] = []

    def until(self, mark: bytes) -> bytes:
        """All that has come, as soon as the mark has, and nothing before this call is left."""
        tail = b""
        while True:
            piece = self._connection.recv(BUFFER_BYTES)
            if not piece:
                raise RuntimeError(f"the stream ended before {mark!r}: {self._pieces[-3:]!r}")
            self._pieces.append(piece)
            if mark in tail + piece:
                data = b"".join(self._pieces)
                self._pieces = []
                return data
            tail = (tail + piece)[-len(mark) :]


def sse(port: int, tokens: int) -> tuple[Callable[[], None], Callable[[], bytes]]:
    """Our gateway: how to send the message, and how to read the answer."""
    api = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)

    def post(path: str, body: str) -> bytes:
        api.request("POST", path, body, JSON)
        return api.getresponse().read()

    session = json.loads(post("/v1/sessions", "{}"))["session_id"]
    stream = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    # HTTP/1.0: no chunks, so that the stream can be searched as it comes.
    request = f"GET /v1/sessions/{session}/events HTTP/1.0\r\nHost: localhost\r\n\r\n"
    stream.sendall(request.encode())
    received = Received(stream)
    received.until(b"event: snapshot")

    def send() -> None:
        post(f"/v1/sessions/{session}/messages", json.dumps({"content": str(tokens)}))

    return send, lambda: received.until(b"event: run.end")


def sse_text(answer: bytes) -> str:
    """The text of its deltas."""
    events = answer.replace(b"\r\n", b"\n").split(b"\n\n")
    deltas = [event for event in events if b"event: step.delta" in event]
    return "".join(json.loads(event.split(b"data: ", 1)[1])["text"] for event in deltas)


def socketio(port: int, tokens: int) -> tuple[Callable[[], None], Callable[[], bytes]]:
    """Chainlit's server: Socket.IO 5 over Engine.IO 4 over a WebSocket (RFC 6455)."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    received = Received(connection)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        "GET /ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    received.until(b'"pingInterval"')

    def write(packet: str) -> None:
        # One masked text frame; a mask of zeros leaves the payload as it is.
        payload = packet.encode()
        length = struct.pack(">BH", 0x80 | 126, len(payload))
        connection.sendall(b"\x81" + length + bytes(4) + payload)

    write("40" + json.dumps({"sessionId": str(uuid.uuid4()), "clientType": "webapp"}))
    received.until(b'40{"sid"')
    write('42["connection_successful"]')
    received.until(b'"clear_call_fn"')
    message = {"id": str(uuid.uuid4()), "name": "u", "type": "user_message", "output": str(tokens)}

    def send() -> None:
        write("42" + json.dumps(["client_message", {"message": message | {"createdAt": None}}]))

    return send, lambda: received.until(b'"task_end"')


def socketio_text(answer: bytes) -> str:
    """The text of the first token, which comes with the start of the stream, and of the others."""
    text, at = "", 0
    while at < len(answer):
        length, start = answer[at + 1], at + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(answer[start : start + size], "big")
            start += size
        packet = answer[start : start + length]
        at = start + length
        if packet.startswith(b'42["stream_start"'):
            text += json.loads(packet[2:])[1]["output"]
        elif packet.startswith(b'42["stream_token"'):
            text += json.loads(packet[2:])[1]["token"]
    return text


def main(kind: str, port: int, tokens: int) -> None:
    ways = {"sse": (sse, sse_text), "socketio": (socketio, socketio_text)}
    connect, text = ways[kind]
    send, read = connect(port, tokens)
    cpu, started = time.process_time(), time.perf_counter()
    send()
    answer = read()
    took = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    if text(answer) != "".join(map(token, range(tokens))):
        raise RuntimeError(f"tokens were lost, or came twice; the answer ends {answer[-300:]!r}")
    print(json.dumps(took))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""A fault of ours is answered as everything else is, counted once, and logged once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import free_port

FAULTY = Path(__file__).parent / "faulty.py"
ORIGIN = "https://app.example"


@dataclass
class Faulty:
    """A gateway with routes that fail."""

    client: httpx.Client
    log: Path

    def logged(self, what: str) -> int:
        """How often."""
        return self.log.read_text().count(what)

    def count(self, sample: str) -> float:
        """A sample of ``/metrics``, 0 if it is missing."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(sample)), 0.0)


@pytest.fixture
def faulty(stack: Stack) -> Iterator[Faulty]:
    port, log = free_port(), stack.folder / "faulty.log"
    command = [sys.executable, str(FAULTY), "gateway", "--port", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            env=stack.env | {"STEPWIRE_CORS_ORIGINS": ORIGIN},
            stdout=output,
            stderr=output,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as client,
    ):
        wait_until(lambda: is_ready(client) or process.poll() is not None, "the gateway")
        try:
            yield Faulty(client, log)
        finally:
            process.terminate()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_a_fault_before_the_answer_is_a_problem_that_a_page_can_read(faulty: Faulty) -> None:
    connection = HTTPConnection("127.0.0.1", faulty.client.base_url.port, timeout=15)
    for _ in range(2):
        connection.request("POST", "/fails/before", headers={"Origin": ORIGIN})
        response = connection.getresponse()
        assert (response.status, json.load(response)["code"]) == (500, "internal_error")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["access-control-allow-origin"] == ORIGIN
        # It says nothing of closing the connection, and does not: the next request comes over it.
        assert response.headers["connection"] is None
        assert connection.sock is not None
    connection.close()
    requests = 'stepwire_gateway_requests_total{method="POST",route="/fails/before",status="500"}'
    assert faulty.count(requests) == 2
    assert faulty.count('stepwire_gateway_refusals_total{code="internal_error"') == 2
    assert faulty.logged("LookupError: a fault before the answer") == 2
    assert faulty.logged("request failed method=POST route=/fails/before") == 2


def test_a_fault_within_an_answer_ends_the_connection_and_is_logged_once(faulty: Faulty) -> None:
    session = faulty.client.post("/v1/sessions").json()["session_id"]
    for number, (path, fault) in enumerate(
        [
            ("/fails/within", "LookupError: a fault within the answer"),
            (f"/v1/sessions/{session}/events", "LookupError: a fault within a stream"),
        ],
        start=1,
    ):
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            faulty.client.get(path)
        wait_until(lambda fault=fault: faulty.logged(fault) > 0, "its log")  # type: ignore[misc]
        assert faulty.client.get("/healthz").is_success
        assert faulty.logged(fault) == 1
        assert faulty.logged(" ERROR ") == number
    assert faulty.count("stepwire_gateway_streams ") == 0

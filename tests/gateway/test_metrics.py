"""``/metrics``: true numbers, and no ids in labels."""

from __future__ import annotations

from typing import cast

import httpx
import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from sse import events, is_empty_stream
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import EventLog
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.redis.standalone import connect
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_gateway.api.event_stream import STREAMS_CUT
from stepwire_gateway.api.metrics import Exposition
from stepwire_gateway.http.problems import REFUSALS
from stepwire_gateway.hub.feed import FRAME_BYTES, FRAMES
from stepwire_gateway.hub.hub import GAPS, Hub
from stepwire_gateway.hub.reading import FELL_BEHIND, SNAPSHOTS
from stepwire_gateway.metrics import Metrics, counter
from tokens import API_KEY, SECRET, bearer, token


@pytest.fixture
def gateway(stack: Stack) -> Gateway:
    return stack.gateway()


def samples(gateway: Gateway) -> dict[str, float]:
    """Every number of ours, by name and labels."""
    response = gateway.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        " ".join(
            [sample.name.removeprefix("stepwire_gateway_"), *sample.labels.values()]
        ): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name.startswith("stepwire_gateway_")
    }


def test_requests_are_counted_by_route_and_status(gateway: Gateway) -> None:
    session = gateway.create_session()
    gateway.send(session, "hello")
    gateway.snapshot(session)
    for path in (f"/v1/sessions/{session}x", "/secret/token-1", "/secret/token-2"):
        assert gateway.client.get(path).status_code == 404
    assert gateway.client.delete("/healthz").status_code == 405
    numbers = samples(gateway)
    one = "/v1/sessions/{session_id}"
    assert numbers["requests_total POST /v1/sessions 201"] == 1
    assert numbers[f"requests_total POST {one}/messages 202"] == 1
    assert numbers[f"requests_total GET {one} 200"] == 1
    assert numbers[f"requests_total GET {one} 404"] == 1
    assert numbers["requests_total GET other 404"] == 2
    assert numbers["requests_total other /healthz 405"] == 1
    text = gateway.client.get("/metrics").text
    assert session not in text
    assert "secret" not in text


def test_a_refused_body_is_counted_too(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_MAX_BODY_BYTES="2048")
    assert gateway.client.post("/v1/sessions", content=b"x" * 4096).status_code == 413
    assert samples(gateway)["requests_total POST other 413"] == 1


def test_refusals_are_counted_by_problem_and_setting(stack: Stack) -> None:
    limits = {"STEPWIRE_MAX_STREAMS_PER_SUBJECT": "1", "STEPWIRE_MAX_SESSIONS_PER_HOUR": "1"}
    limits |= {"STEPWIRE_MAX_BODY_BYTES": "2048"}
    limits |= {"STEPWIRE_AUTH_SECRETS": SECRET, "STEPWIRE_API_KEYS": API_KEY}
    gateway = stack.gateway(port=None, **limits)
    subject = new_id()
    ada = bearer(token("*", rights=("read", "write"), sub=subject))
    http = gateway.client
    session = http.post("/v1/sessions", headers=ada).json()["session_id"]
    path = f"/v1/sessions/{session}"
    with http.stream("GET", f"{path}/events", headers=ada) as first:
        assert first.status_code == 200
        for _ in range(2):
            text = http.get(f"{path}/events", headers=ada).text
            assert is_empty_stream(text, "limit_exceeded")
    expected = {
        "limit_exceeded STEPWIRE_MAX_STREAMS_PER_SUBJECT": 2,
        "limit_exceeded STEPWIRE_MAX_SESSIONS_PER_HOUR": 1,
        "unauthenticated ": 1,
        "forbidden ": 1,
        "body_too_large ": 1,
        "session_not_found ": 1,
    }
    assert http.post("/v1/sessions", headers=ada).status_code == 429
    assert http.get(path).status_code == 401
    assert http.delete(path, headers=ada).status_code == 403
    assert http.post(f"{path}/messages", content=b"x" * 4096, headers=ada).status_code == 413
    assert http.get("/v1/sessions/nope", headers=ada).status_code == 404
    http.headers.update(bearer(API_KEY))
    text = http.get("/metrics").text
    numbers = {
        name.removeprefix("refusals_total "): value
        for name, value in samples(gateway).items()
        if name.startswith("refusals_total ")
    }
    assert numbers == expected
    assert subject not in text
    assert session not in text


@pytest.mark.anyio
async def test_streams_and_what_they_carry_are_counted(gateway: Gateway) -> None:
    session = gateway.create_session()
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as http:
        received = []
        async for event in events(http, f"/v1/sessions/{session}/events"):
            received.append(event)
            if len(received) == 1:
                numbers = samples(gateway)
                assert (numbers["streams"], numbers["sessions"]) == (1, 1)
                gateway.send(session, "hello")
            if len(received) == 3:
                break
    wait_until(lambda: samples(gateway)["streams"] == 0, "the stream is closed")
    numbers = samples(gateway)
    assert (numbers["sessions"], numbers["draining"]) == (0, 0)
    assert (numbers["frames_total"], numbers["snapshots_total"]) == (3, 1)
    carried = sum(len(event.raw.encode()) + len("\n\n") for event in received)
    assert numbers["frame_bytes_total"] == carried


def test_a_metric_has_one_declaration_and_takes_its_own_labels_alone() -> None:
    with pytest.raises(ValueError, match="'refusals' is declared twice"):
        counter("refusals", "Another one.")
    with pytest.raises(ValueError, match=r"labels of 'refusals' are \('code', 'setting'\)"):
        Metrics().add(REFUSALS, "forbidden")


def test_what_was_never_counted_is_zero_or_has_no_labels_yet() -> None:
    metrics = Metrics()
    assert (metrics.values(GAPS), metrics.values(REFUSALS)) == ({(): 0}, {})
    metrics.add(REFUSALS, "forbidden", "", amount=2)
    assert metrics.value(REFUSALS, "forbidden", "") == 2
    assert metrics.value(REFUSALS, "other", "") == 0


@pytest.fixture
def hub(server: EmbeddedServer) -> Hub:
    settings = Settings(redis_url=server.url)
    return Hub(EventLog(connect(server.url), settings), settings)


def test_every_count_of_the_hub_has_its_own_metric(hub: Hub) -> None:
    metrics = hub.metrics
    for amount, metric in enumerate(
        (GAPS, FELL_BEHIND, SNAPSHOTS, FRAMES, FRAME_BYTES, STREAMS_CUT), 1
    ):
        metrics.add(metric, amount=amount)
    cast("PubSubLink", hub._link).reconnects = 8
    hub.draining = True
    registry = CollectorRegistry()
    registry.register(Exposition(metrics))
    for name, value in {
        "gaps_total": 1,
        "fell_behind_total": 2,
        "snapshots_total": 3,
        "frames_total": 4,
        "frame_bytes_total": 5,
        "streams_cut_total": 6,
        "pubsub_reconnects_total": 7,  # the first connection is not a reconnect
        "draining": 1,
    }.items():
        assert registry.get_sample_value(f"stepwire_gateway_{name}") == value

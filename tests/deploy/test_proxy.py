"""Elements through the proxy that compose puts in front of the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.compose import load_compose
from deploy.stack import nginx, running_proxy
from stack import Stack
from stepwire_cli.embedded import EmbeddedServer, free_port

pytestmark = pytest.mark.skipif(nginx() is None, reason="no nginx here: apt install nginx-light")

MAX_BODY_BYTES = 4096
MAX_BYTES = 100_000


@pytest.fixture
def client(tmp_path: Path, server: EmbeddedServer) -> Iterator[httpx.Client]:
    limits = {
        "STEPWIRE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "STEPWIRE_ELEMENTS_MAX_BYTES": str(MAX_BYTES),
    }
    service = load_compose(**limits)["services"]["proxy"]
    port = free_port()
    with Stack(tmp_path, server.url) as stack:
        stack.env |= limits
        gateway = stack.gateway()
        with (
            running_proxy(service, folder=tmp_path, port=port, gateways=[gateway.port]),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as client,
        ):
            yield client


def test_uploads_may_be_larger_than_other_bodies_but_not_than_their_own_limit(
    client: httpx.Client,
) -> None:
    session = client.post("/v1/sessions").json()["session_id"]
    path = f"/v1/sessions/{session}/elements"
    response = client.post(path, params={"name": "a.png"}, content=b"x" * MAX_BYTES)
    assert response.status_code == 201
    url = response.json()["url"]
    part = client.get(url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, b"x" * 10)
    assert "sandbox" in part.headers["content-security-policy"]
    for refused, setting in (
        (client.post(path, content=b"x" * (MAX_BYTES + 1)), "STEPWIRE_ELEMENTS_MAX_BYTES"),
        (client.post("/v1/sessions", content=b"x" * (MAX_BODY_BYTES + 1)), "MAX_BODY_BYTES"),
    ):
        assert refused.status_code == 413
        assert refused.json()["code"] == "body_too_large"
        assert setting in refused.json()["detail"]

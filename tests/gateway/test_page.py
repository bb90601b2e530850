"""How the inspector's page is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from stepwire_core.settings import Settings
from stepwire_gateway import create_app, page


@pytest.fixture(scope="module")
def client() -> TestClient:
    """The page needs nothing that is running: not even the lifespan."""
    app = create_app(Settings())
    app.state.services = None
    return TestClient(app)


def assets(client: TestClient) -> list[str]:
    return re.findall(r'(?:src|href)="(inspector/assets/[^"]+)"', client.get("/").text)


def test_the_page_may_load_nothing_but_what_its_gateway_serves(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    sources = dict(part.split(" ", 1) for part in policy.split("; "))
    assert sources["default-src"] == "'none'"
    assert sources["script-src"] == sources["style-src"] == sources["connect-src"] == "'self'"
    assert sources["frame-ancestors"] == "'none'"


def test_the_page_needs_a_script_and_a_style_and_no_more(client: TestClient) -> None:
    assert sorted(name.rpartition(".")[2] for name in assets(client)) == ["css", "js"]


def test_what_has_its_hash_in_its_name_is_kept_for_good_and_the_page_is_asked_for(
    client: TestClient,
) -> None:
    assert client.get("/").headers["cache-control"] == "no-cache"
    for asset in assets(client):
        assert client.get(f"/{asset}").headers["cache-control"].endswith("immutable")


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("deflate", None),
    ],
)
def test_a_browser_gets_the_smallest_form_that_it_reads(
    client: TestClient, accepted: str, sent: str | None
) -> None:
    [script] = [name for name in assets(client) if name.endswith(".js")]
    with client.stream("GET", f"/{script}", headers={"Accept-Encoding": accepted}) as response:
        assert response.headers.get("content-encoding") == sent
        assert response.headers["vary"] == "Accept-Encoding"
        assert response.headers["content-type"].startswith("text/javascript")
        size = len(b"".join(response.iter_raw()))
    assert size == int(response.headers["content-length"])
    plain = client.get(f"/{script}", headers={"Accept-Encoding": "identity"})
    assert (size < len(plain.content) / 2) == (sent is not None)


def test_a_form_is_not_taken_for_another_one_that_is_cached(client: TestClient) -> None:
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    headers = {"If-None-Match": plain.headers["etag"], "Accept-Encoding": "identity"}
    assert client.get("/", headers=headers).status_code == 304
    headers["Accept-Encoding"] = "br"
    assert client.get("/", headers=headers).status_code == 200


def test_the_vocabulary_is_served_beside_the_page(client: TestClient) -> None:
    assert "kinds" in client.get("/inspector/vocabulary.json").json()


def test_nothing_else_of_the_package_is_served(client: TestClient) -> None:
    for path in ("page.py", "../page.py", "%2e%2e/page.py", "public/vocabulary.json"):
        assert client.get(f"/inspector/{path}").status_code == 404


def test_an_installation_without_the_page_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(page.PageMissing, match="make inspector"):
        page.BuiltFiles(tmp_path)

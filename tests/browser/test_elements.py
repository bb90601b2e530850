"""What anybody has uploaded runs nothing in a browser, whatever it is called and says to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page

from stack import Gateway, Stack
from stepwire_core.redis.keys import SessionKeys

HOSTILE = (
    "<!doctype html><html xmlns='http://www.w3.org/1999/xhtml'><body><script>"
    "window.ran = true; fetch('/v1/sessions', {method: 'POST'})</script>"
    "<img src='x' onerror='window.ran = true'/></body></html>"
)

# Each is plain text, JSON or a picture to some parser, and a page or a script to another.
DISGUISES = [
    "text/plain",
    "text/plain;charset=utf-7",
    "text/plain; charset=iso-2022-jp",
    'text/plain; a="',
    "text/plain;,text/html",
    "text/plain,text/html",
    "text/plain\t;text/html",
    "application/json",
    "application/json;,text/html",
    "image/png",
    "image/png,text/html",
    "application/pdf",
    "text/html",
    "TEXT/HTML;x=text/plain",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "multipart/x-mixed-replace",
    "unknown/unknown",
    "application/octet-stream",
]
SCRIPTS = ["text/javascript", "application/javascript", "text/ecmascript", "text/plain", "x/y"]


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(accept_downloads=False) as context:
        yield context.new_page()


def upload(gateway: Gateway, session: str, content: str, mime: str, name: str) -> str:
    """Where it is."""
    element = gateway.upload(session, name, content.encode(), mime)
    return f"/v1/sessions/{session}/elements/{element}"


def kept_as(stack: Stack, url: str, mime: str) -> None:
    """The element is one of an older version, which took any type."""
    *_, session, _, element = url.split("/")
    state, field = SessionKeys.of(session).state, f"e:{element}"
    kept: Any = stack.redis.hget(state, field)
    changed = kept.replace(b'"mime":"text/plain"', f'"mime":{json.dumps(mime)}'.encode())
    stack.redis.hset(state, field, changed)


@pytest.mark.parametrize("mime", DISGUISES)
def test_a_page_in_disguise_is_no_page(
    shared_stack: Stack, gateway: Gateway, page: Page, mime: str
) -> None:
    session = gateway.create_session()
    url = upload(gateway, session, HOSTILE, "text/plain", "page.html")
    kept_as(shared_stack, url, mime)
    shown = gateway.client.head(url).headers
    has_viewer = page.evaluate("navigator.pdfViewerEnabled")
    if shown["content-disposition"].startswith("attachment;") or (
        shown["content-type"] == "application/pdf" and not has_viewer
    ):
        with pytest.raises(Error, match=r"Download is starting|ERR_ABORTED"):
            page.goto(f"{gateway.url}{url}")
        return
    page.goto(f"{gateway.url}{url}")
    # The browser takes it for what we say it is, and has run nothing of it.
    assert page.evaluate("document.contentType") == shown["content-type"].partition(";")[0]
    assert page.evaluate("window.ran") is None
    assert page.locator("script").count() == 0


@pytest.mark.parametrize("mime", SCRIPTS)
def test_an_upload_is_no_script_and_no_style_of_our_page(
    gateway: Gateway, page: Page, mime: str
) -> None:
    """The policy of our page lets its own origin in, and that is where uploads are."""
    session = gateway.create_session()
    url = upload(gateway, session, "window.ran = true", mime, "a.js")
    page.goto(gateway.url)
    with pytest.raises(Error, match="Failed to load"):
        page.add_script_tag(url=url)
    assert page.evaluate("window.ran") is None
    style = upload(gateway, session, "body { display: none }", "text/css", "a.css")
    with pytest.raises(Error, match="add_style_tag"):
        page.add_style_tag(url=style)


def test_a_picture_that_is_a_page_too_shows_as_a_picture(gateway: Gateway, page: Page) -> None:
    session = gateway.create_session()
    head = "<svg xmlns='http://www.w3.org/2000/svg' width='7' height='7'>"
    picture = f"{head}<script>parent.ran = 1</script></svg>"
    url = upload(gateway, session, picture, "image/svg+xml", "a.svg")
    page.goto(gateway.url)
    width = page.evaluate(
        """url => new Promise((resolve, reject) => {
            const image = new Image();
            image.onload = () => resolve(image.width);
            image.onerror = reject;
            image.src = url;
        })""",
        url,
    )
    assert width == 7
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize(
    ("name", "saved_as"),
    [
        ("gr\u00fc\u00df e.html", "gr\u00fc\u00df e.html"),
        ('a"; filename="b.exe', "a_; filename=_b.exe"),
        ("cod\u202etxt.exe", "cod_txt.exe"),
        ("../../etc/passwd", ".._.._etc_passwd"),
    ],
)
def test_a_download_is_called_what_it_was_called_but_for_what_misleads(
    gateway: Gateway, browser: Browser, name: str, saved_as: str
) -> None:
    session = gateway.create_session()
    url = upload(gateway, session, HOSTILE, "text/html", name)
    with browser.new_context(accept_downloads=True) as context:
        page = context.new_page()
        page.goto(gateway.url)
        with page.expect_download() as downloading:
            page.evaluate("url => { location.href = url }", url)
        suggested = downloading.value.suggested_filename
    # Chromium itself takes dots at the beginning away.
    assert suggested.lstrip("._") == saved_as.lstrip("._")

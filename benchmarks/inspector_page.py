"""The inspector's page in Chromium with large sessions: loading, memory, frames.

The page is served as a gateway serves it, with a session that is made up: a snapshot of so many
steps, then what an agent streams. ``--page FOLDER`` measures another page with the same sessions,
as one of an older version, taken out of the history with ``git archive``.

Frames are counted by the page's own ``requestAnimationFrame``. A headless Chromium on processors
without a screen comes to 60 of them a second at most.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import CDPSession, Page, sync_playwright

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402
from rounds import Row, table  # noqa: E402

PAGE: Final = ROOT / "gateway" / "stepwire_gateway" / "inspector"
NOW: Final = "2026-11-22T19:00:00.000Z"
A_RUN: Final = 100
"""So many steps are below one message."""
DAY: Final = 1_700
"""So many steps a person has seen who watched one agent for an afternoon."""
SCROLL_MS, STREAM_S, LIMIT_MS = 3_000, 5, 240_000


def _step(number: int, status: str = "ok") -> dict[str, Any]:
    place = number % A_RUN
    is_message = place == 0
    output = f"What came out of step {number}. " * (1 + number % 3)
    above = None if is_message else f"s{number - 1 if place % 4 else number - place}"
    return {
        "id": f"s{number}",
        "session_id": "bench",
        "run_id": f"r{number // A_RUN}",
        "attempt": 0 if is_message else 1,
        "parent_id": above,
        "name": "User" if is_message else f"step {number}",
        "type": "user_message" if is_message else ("tool", "llm", "retrieval")[number % 3],
        "status": status,
        "input": "" if is_message else f'{{"number": {number}}}',
        "output": output if status == "ok" else "",
        "language": None,
        "show_input": True,
        "disable_feedback": True,
        "default_open": False,
        "auto_collapse": False,
        "icon": None,
        "tags": [],
        "metadata": {},
        "elements": [],
        "started_at": NOW,
        "ended_at": NOW if status == "ok" else None,
        "error": None,
        "from_attempt": None,
        "usage": None,
        "progress": None,
        "ts": NOW,
    }


def _run(number: int) -> dict[str, Any]:
    return {
        "run_id": f"r{number}",
        "handler": "on_message",
        "attempt": 1,
        "message_id": f"s{number * A_RUN}",
        "status": "ok",
        "started_at": NOW,
        "ended_at": NOW,
        "error": None,
        "will_retry": False,
        "parent_run_id": None,
        "usage": None,
        "ts": NOW,
        "v": 1,
    }


class Session:
    """A session that is made up, as the stream of a gateway tells it."""

    def __init__(self, steps: int) -> None:
        runs = -(-steps // A_RUN)
        usage = {"input_tokens": 0, "output_tokens": 0, "cost": 0}
        self._snapshot = {
            "v": 1,
            "session_id": "bench",
            "cursor": "1-0",
            "runs": [_run(number) for number in range(runs)],
            "steps": [_step(number) for number in range(steps)],
            "elements": [],
            "asks": [],
            "feedback": [],
            "actions": [],
            "steps_before_runs": [number * A_RUN + 1 for number in range(runs)],
            "usage": usage,
        }
        self._seq = 0
        self._steps = steps
        self.events: queue.Queue[bytes] = queue.Queue()

    def begin(self) -> bytes:
        return _frame("1-0", "snapshot", self._snapshot)

    def step(self, tokens: int = 0, pause_s: float = 0) -> None:
        """One more step, which begins, streams, and ends."""
        number = self._steps
        self._steps += 1
        self._say("step.start", _step(number, "running"))
        for token in range(tokens):
            text = f"token {token} "
            self._say("step.delta", {"id": f"s{number}", "field": "output", "text": text})
            if pause_s:
                time.sleep(pause_s)
        self._say("step.end", _step(number))

    def _say(self, type_: str, data: dict[str, Any]) -> None:
        self._seq += 1
        self.events.put(_frame(f"1-{self._seq}", type_, data))

    @property
    def steps(self) -> int:
        return self._steps


def _frame(id_: str, type_: str, data: dict[str, Any]) -> bytes:
    return f"id: {id_}\nevent: {type_}\ndata: {json.dumps(data)}\n\n".encode()


class _Handler(BaseHTTPRequestHandler):
    """A gateway of one session, as far as a page asks."""

    protocol_version = "HTTP/1.1"
    page: Path
    session: Session

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/events") and "/sessions/" in path:
            self._stream()
        elif path.startswith("/v1/"):
            self._answer(404, b"{}", "application/json")
        else:
            name = "index.html" if path == "/" else path.removeprefix("/inspector/")
            self._file(self.page / name)

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._answer(404, b"", "text/plain")
            return
        mime = guess_type(file.name)[0] or "application/octet-stream"
        self._answer(200, file.read_bytes(), mime)

    def _answer(self, status: int, body: bytes, mime: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(self.session.begin())
            while True:
                self.wfile.write(self.session.events.get())

    def log_message(self, format: str, *args: object) -> None:
        """The output is for figures."""


@contextmanager
def _serving(page: Path, session: Session) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"page": page, "session": session})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/?session=bench"
        finally:
            server.shutdown()


_SETTLED: Final = """() => new Promise((resolve) => {
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
})"""
_SCROLLER: Final = """(() => document.querySelector("#timeline.rows, #scroller"))()"""
_SCROLL: Final = f"""(limitMs) => new Promise((resolve) => {{
  const scroller = {_SCROLLER};
  scroller.scrollTop = 0;
  const begun = performance.now();
  let frames = 0, last = begun, longest = 0, way = 1;
  const next = (now) => {{
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - begun >= limitMs) return resolve([frames * 1000 / (now - begun), longest]);
    if (scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2) way = -1;
    scroller.scrollTop += way * 300;
    requestAnimationFrame(next);
  }};
  requestAnimationFrame(next);
}})"""
_FRAMES: Final = """(limitMs) => new Promise((resolve) => {
  const begun = performance.now();
  let frames = 0, last = begun, longest = 0;
  const next = (now) => {
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - begun >= limitMs) return resolve([frames * 1000 / (now - begun), longest]);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""
_CLICK_ALL: Final = """() => new Promise((resolve) => {
  const begun = performance.now();
  const all = [...document.querySelectorAll("button")];
  all.find(({ textContent }) => textContent === "Expand all").click();
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begun)));
})"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one session in one tab."""

    load_ms: float
    heap_mb: float
    nodes: float
    scroll_fps: float
    scroll_frame_ms: float
    longest_scroll_ms: float
    expand_ms: float
    stream_fps: float
    stream_frame_ms: float
    longest_stream_ms: float


def _frames(page: Page, cdp: CDPSession, script: str, limit_ms: int) -> tuple[float, float, float]:
    """Frames a second, the processor time of one in the page's thread, and the longest one."""
    before = _metrics(cdp)["TaskDuration"]
    fps, longest_ms = page.evaluate(script, limit_ms)
    spent_ms = 1000 * (_metrics(cdp)["TaskDuration"] - before)
    return fps, spent_ms / (fps * limit_ms / 1000), longest_ms


def _metrics(cdp: CDPSession) -> dict[str, float]:
    found = cdp.send("Performance.getMetrics")["metrics"]
    return {one["name"]: one["value"] for one in found}


def _wait_for_live(page: Page) -> None:
    page.wait_for_selector("#status[data-connection=live]", state="attached", timeout=LIMIT_MS)
    there = "document.querySelectorAll('[data-step-id]').length > 0"
    page.wait_for_function(there, timeout=LIMIT_MS)


def figures(page_folder: Path, steps: int, *, live: int, short: bool = False) -> Figures:
    """What the page needs for a session of so many steps, and for ``live`` more that come."""
    path = chromium.find()
    if path is None:
        raise RuntimeError(chromium.MISSING)
    session = Session(steps)
    with (
        _serving(page_folder, session) as url,
        sync_playwright() as playwright,
        chromium.launch(playwright, path) as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(LIMIT_MS)
        cdp = page.context.new_cdp_session(page)
        # Processor time, not that of the clock: other processes do not count.
        cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(url)
        if steps:
            _wait_for_live(page)
        load_ms = page.evaluate(_SETTLED)
        for _ in range(live):
            session.step(tokens=3)
        if live:
            wanted = f"{session.steps:,} steps"
            page.get_by_text(wanted, exact=True).first.wait_for()
        cdp.send("HeapProfiler.collectGarbage")
        metrics = _metrics(cdp)
        limit_ms = 300 if short else SCROLL_MS
        scroll_fps, scroll_frame_ms, longest_scroll_ms = _frames(page, cdp, _SCROLL, limit_ms)
        stop = threading.Event()

        def stream() -> None:
            while not stop.is_set():
                session.step(tokens=40, pause_s=0.01)

        streaming = threading.Thread(target=stream, daemon=True)
        streaming.start()
        page.evaluate(f"() => {{ const it = {_SCROLLER}; it.scrollTop = it.scrollHeight; }}")
        limit_ms = 300 if short else STREAM_S * 1000
        stream_fps, stream_frame_ms, longest_stream_ms = _frames(page, cdp, _FRAMES, limit_ms)
        stop.set()
        streaming.join()
        expand_ms = page.evaluate(_CLICK_ALL)
        return Figures(
            load_ms=load_ms,
            heap_mb=metrics["JSHeapUsedSize"] / 1e6,
            nodes=metrics["Nodes"],
            scroll_fps=scroll_fps,
            scroll_frame_ms=scroll_frame_ms,
            longest_scroll_ms=longest_scroll_ms,
            expand_ms=expand_ms,
            stream_fps=stream_fps,
            stream_frame_ms=stream_frame_ms,
            longest_stream_ms=longest_stream_ms,
        )


def _rows(what: str, found: Figures) -> list[Row]:
    def row(name: str, unit: str, value: float, goal: str = "") -> Row:
        return Row(f"inspector, {what}: {name}", unit, [value], "", [], goal)

    return [
        row("load", "ms", found.load_ms),
        row("memory", "MB", found.heap_mb),
        row("page", "nodes", found.nodes),
        row("scrolling", "frames/s", found.scroll_fps, ">= 55 frames/s"),
        row("processor time of such a frame", "ms", found.scroll_frame_ms, "<= 16 ms"),
        row("longest frame while scrolling", "ms", found.longest_scroll_ms),
        row("Expand all", "ms", found.expand_ms),
        row("while an agent streams", "frames/s", found.stream_fps, ">= 55 frames/s"),
        row("processor time of a streaming frame", "ms", found.stream_frame_ms, "<= 16 ms"),
        row("longest frame while it streams", "ms", found.longest_stream_ms),
    ]


def measure(*, short: bool = False, page: Path = PAGE, sizes: list[int] | None = None) -> list[Row]:
    rows: list[Row] = []
    for steps in sizes or ([200] if short else [10_000, 100_000]):
        rows += _rows(f"{steps:,} steps", figures(page, steps, live=0, short=short))
    seen = 100 if short else DAY
    return rows + _rows(f"{seen:,} steps seen live", figures(page, 1, live=seen, short=short))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the inspector's page.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--steps", type=int, action="append")
    asked = parser.parse_args()
    print(table(measure(short=asked.short, page=asked.page, sizes=asked.steps)))

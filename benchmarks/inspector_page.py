"""The inspector's page in Chromium with large sessions: loading, memory, frames.

The page is served as a gateway serves it, with a session that is made up: a snapshot of so many
steps, then what an agent streams. ``--page FOLDER`` measures another page with the same sessions,
as one of an older version, taken out of the history with ``git archive``.

Frames are counted by the page's own ``requestAnimationFrame``. A headless Chromium on processors
without a screen comes to 60 of them a second at most, and to fewer on a machine with other work.
So a long session is measured by turns with a short one, and with a list that has nothing in its
lines: the ratio to the first one tells what grows with the number of steps.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402
from rounds import Row, table  # noqa: E402

PAGE: Final = ROOT / "gateway" / "stepwire_gateway" / "inspector"
NOW: Final = "2026-11-22T19:00:00.000Z"
A_RUN: Final = 100
"""So many steps are below one message."""
DAY: Final = (1_700, 5_000)
"""So many steps a person has seen who watched one agent for an afternoon, or for a day."""
SHORT: Final = 1_000
"""So many steps has the session beside which a long one is measured."""
LIMIT_MS: Final = 240_000
BARE: Final = """<!doctype html><title>A bare list</title>
<style>
  #scroller { position: fixed; inset: 0; overflow: auto; contain: strict }
  #all { position: relative }
  #all div { position: absolute; inset-inline: 0; height: 30px; font: 13px sans-serif }
</style>
<div id="scroller"><div id="all"></div></div>
<script>
  const rows = Number(new URLSearchParams(location.search).get("rows"));
  const [scroller, all] = ["scroller", "all"].map((id) => document.getElementById(id));
  const shown = new Map();
  all.style.height = `${30 * rows}px`;
  scroller.onscroll = () => {
    const first = Math.max(0, Math.floor(scroller.scrollTop / 30) - 12);
    const last = Math.min(rows, first + Math.ceil(scroller.clientHeight / 30) + 24);
    for (const [at, row] of shown) if (at < first || at >= last) (row.remove(), shown.delete(at));
    for (let at = first; at < last; at += 1) {
      if (shown.has(at)) continue;
      const row = document.createElement("div");
      row.style.transform = `translateY(${30 * at}px)`;
      row.append(`step ${at} What came out of step ${at}.`);
      shown.set(at, row);
      all.append(row);
    }
  };
  scroller.onscroll();
</script>"""
"""A window of lines without anything in them: more frames than it, a machine cannot draw."""


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
        if path == "/bare":
            self._answer(200, BARE.encode(), "text/html")
        elif path.endswith("/events") and "/sessions/" in path:
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
  const begun = performance.now();
  let frames = 0, last = begun, longest = 0;
  // From the top, and on from where the last time ended: most rows are seen for the first time.
  if (!globalThis.way) scroller.scrollTop = 0;
  globalThis.way ??= 1;
  const next = (now) => {{
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - begun >= limitMs) return resolve([frames * 1000 / (now - begun), longest]);
    if (scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2) way = -1;
    if (scroller.scrollTop <= 0) way = 1;
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


_WORK: Final = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
"""What of one lies within another is counted once: Chromium takes it out of the outer one."""


@dataclass(frozen=True, slots=True)
class Frames:
    """How many a second, the processor time of one in the page's thread, and the longest one.

    ``work_ms`` is the part of a frame that the page decides on: scripts, style and layout. The rest
    is painting and compositing, without a graphics processor.
    """

    fps: float
    frame_ms: float
    work_ms: float
    longest_ms: float


class Tab:
    """A page with a session, which a person scrolls through while an agent adds to it."""

    def __init__(self, browser: Browser, url: str, session: Session) -> None:
        self._session = session
        self._page = browser.new_page(viewport={"width": 1280, "height": 900})
        self._page.set_default_timeout(LIMIT_MS)
        self._cdp = self._page.context.new_cdp_session(self._page)
        # Processor time, not that of the clock: other processes do not count.
        self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._page.goto(url)

    def load(self) -> float:
        """Milliseconds until all is there and painted."""
        self._page.wait_for_selector("#status[data-connection=live]", state="attached")
        there = "document.querySelectorAll('[data-step-id]').length > 0"
        self._page.wait_for_function(there)
        return float(self._page.evaluate(_SETTLED))

    def see(self, steps: int) -> None:
        """So many more steps come while the page is open."""
        for _ in range(steps):
            self._session.step(tokens=3)
        wanted = f"{self._session.steps:,} steps"
        self._page.get_by_text(wanted, exact=True).first.wait_for()

    def weigh(self) -> tuple[float, float]:
        """Megabytes of memory, and nodes in the document."""
        self._cdp.send("HeapProfiler.collectGarbage")
        metrics = self._metrics()
        return metrics["JSHeapUsedSize"] / 1e6, metrics["Nodes"]

    def scroll(self, limit_ms: int) -> Frames:
        self._page.bring_to_front()
        return self._frames(_SCROLL, limit_ms)

    def stream(self, limit_ms: int) -> Frames:
        """At the end of the list, while an agent streams."""
        self._page.bring_to_front()
        stop = threading.Event()

        def stream() -> None:
            while not stop.is_set():
                self._session.step(tokens=40, pause_s=0.01)

        streaming = threading.Thread(target=stream, daemon=True)
        streaming.start()
        self._page.evaluate(f"() => {{ const it = {_SCROLLER}; it.scrollTop = it.scrollHeight; }}")
        frames = self._frames(_FRAMES, limit_ms)
        stop.set()
        streaming.join()
        return frames

    def expand(self) -> float:
        """Milliseconds that "Expand all" takes."""
        return float(self._page.evaluate(_CLICK_ALL))

    def _frames(self, script: str, limit_ms: int) -> Frames:
        before = self._metrics()
        fps, longest_ms = self._page.evaluate(script, limit_ms)
        after = self._metrics()
        spent_ms = {name: 1000 * (after[name] - before[name]) for name in ("TaskDuration", *_WORK)}
        frames = fps * limit_ms / 1000
        work_ms = sum(spent_ms[name] for name in _WORK)
        return Frames(fps, spent_ms["TaskDuration"] / frames, work_ms / frames, longest_ms)

    def _metrics(self) -> dict[str, float]:
        found = self._cdp.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}


def _turn(tabs: Sequence[Tab], turn: int, measured: Callable[[Tab], Frames]) -> list[Frames]:
    """One figure of each, in their order; each other turn from the last one to the first."""
    order = range(len(tabs))
    found = {at: measured(tabs[at]) for at in (order if turn % 2 == 0 else reversed(order))}
    return [found[at] for at in order]


def figures(
    browser: Browser, folder: Path, steps: int, *, live: int, rounds: int, scroll_ms: int
) -> list[Row]:
    """Of a session of so many steps and ``live`` more that came, beside a short one, by turns."""
    long, short = Session(steps), Session(SHORT)
    with _serving(folder, long) as url, _serving(folder, short) as short_url:
        beside = Tab(browser, short_url, short)
        beside.load()
        tab = Tab(browser, url, long)
        load_ms = tab.load()
        if live:
            tab.see(live)
        heap_mb, nodes = tab.weigh()
        bare = Tab(browser, f"{url.partition('?')[0]}bare?rows={steps + live}", long)
        tabs = (tab, beside, bare)
        scrolled = [_turn(tabs, turn, lambda one: one.scroll(scroll_ms)) for turn in range(rounds)]
        streamed = [
            _turn(tabs[:2], turn, lambda one: one.stream(scroll_ms)) for turn in range(rounds)
        ]
        expand_ms = tab.expand()
    what = f"inspector, {f'{live:,} steps seen live' if live else f'{steps:,} steps'}: "

    def row(name: str, unit: str, value: float) -> Row:
        return Row(what + name, unit, [value], "", [], "")

    def frames(name: str, of: list[list[Frames]], peer: int, called: str) -> list[Row]:
        ours, theirs = ([turn[at] for turn in of] for at in (0, peer))
        fps, cost = (">= 0.95", "<= 1.2") if peer == 1 else ("", "")
        figures: list[tuple[str, str, Callable[[Frames], float], str]] = [
            ("", "frames/s", lambda one: one.fps, fps),
            (", processor", "ms a frame", lambda one: one.frame_ms, cost),
            (", script, style and layout", "ms a frame", lambda one: one.work_ms, cost),
        ]
        return [
            Row(
                f"{what}{name}{of_what}",
                unit,
                [figure(one) for one in ours],
                called,
                [figure(one) for one in theirs],
                goal,
            )
            for of_what, unit, figure, goal in figures
        ]

    few = f"{SHORT:,} steps"
    return [
        *([] if live else [row("load", "ms", load_ms)]),
        row("memory", "MB", heap_mb),
        row("page", "nodes", nodes),
        row("Expand all", "ms", expand_ms),
        *frames("scrolling", scrolled, 1, few),
        *frames("scrolling", scrolled, 2, "a bare list"),
        *frames("while an agent streams", streamed, 1, few),
        row("longest frame scrolling", "ms", max(turn[0].longest_ms for turn in scrolled)),
        row("longest frame streaming", "ms", max(turn[0].longest_ms for turn in streamed)),
    ]


def measure(
    *,
    short: bool = False,
    page: Path = PAGE,
    sizes: list[int] | None = None,
    seen: list[int] | None = None,
) -> list[Row]:
    path = chromium.find(whole=True)
    if path is None:
        raise RuntimeError(chromium.MISSING)
    rounds, scroll_ms = (3, 600) if short else (5, 3_000)
    if sizes is None and seen is None:
        sizes, seen = ([200], [100]) if short else ([10_000, 100_000], list(DAY))
    asked = [(steps, 0) for steps in sizes or ()] + [(1, live) for live in seen or ()]
    rows: list[Row] = []
    for steps, live in asked:
        # A browser for each, so that none has the memory of another.
        with sync_playwright() as playwright, chromium.launch(playwright, path) as browser:
            rows += figures(browser, page, steps, live=live, rounds=rounds, scroll_ms=scroll_ms)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the inspector's page.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--steps", type=int, action="append", help="In the session, at first.")
    parser.add_argument("--live", type=int, action="append", help="That come while it is open.")
    asked = parser.parse_args()
    print(table(measure(short=asked.short, page=asked.page, sizes=asked.steps, seen=asked.live)))

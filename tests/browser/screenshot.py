"""The picture in the README: the demo agent in the middle of a run.

    python tests/browser/screenshot.py docs/inspector.png

Needs Chromium. The text is in the fonts below that are installed (on Debian: ``apt install
fonts-inter fonts-jetbrains-mono``), else in whatever the machine has.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import chromium
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import embedded_server

EXAMPLES = Path(__file__).parents[2] / "examples"
# A camera is slower than people: at the demo's own pace a branch is over before the next is seen.
AGENT = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import agent
agent.TOKEN_S = 0.07
"""
QUESTION = "Who gets a snapshot after a reconnect?"
# Three documents are being read at once, and of each there are some words to see.
MOMENT = """(limitMs) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("the moment did not come")), limitMs);
  const look = () => {
    const previews = document.querySelectorAll(".step[data-status=running] .preview");
    if ([...previews].filter((preview) => preview.textContent.length > 35).length >= 3) resolve();
    else requestAnimationFrame(look);
  };
  look();
})"""
# The page takes the font of the system, which on a server is none that was made for reading.
FONT = "document.documentElement.style.setProperty('--sans', 'Inter, system-ui, sans-serif')"
LIMIT_MS = 30_000


def main() -> None:
    arguments = argparse.ArgumentParser(description="Take the README's picture of the inspector.")
    arguments.add_argument("file", type=Path)
    file = arguments.parse_args().file
    path = chromium.find()
    if path is None:
        sys.exit(chromium.MISSING)
    with (
        TemporaryDirectory(prefix="stepwire-screenshot-") as folder,
        demo(Path(folder)) as gateway,
        sync_playwright() as playwright,
        chromium.launch(playwright, path) as browser,
    ):
        page = browser.new_page(
            viewport={"width": 1280, "height": 800}, device_scale_factor=2, color_scheme="light"
        )
        page.set_default_timeout(LIMIT_MS)
        ask(page, f"{gateway.url}/?session={gateway.create_session('demo')}")
        # A caret that blinks could be at its faintest.
        page.screenshot(path=file, animations="disabled")
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


@contextmanager
def demo(folder: Path) -> Iterator[Gateway]:
    """The demo agent behind a gateway, while the block runs."""
    with embedded_server() as server, Stack(folder, server.url) as stack:
        stack.worker(AGENT)
        yield stack.gateway()


def ask(page: Page, url: str) -> None:
    """Ask the agent and return at the moment to be seen."""
    page.goto(url)
    page.evaluate(FONT)
    page.locator(".run[data-status=ok]").first.wait_for()
    page.get_by_label("Message", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".line", has_text="rank").first.click()
    page.mouse.move(0, 0)
    page.evaluate(MOMENT, LIMIT_MS)


if __name__ == "__main__":
    main()

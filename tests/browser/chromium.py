"""The browser that is on this machine, as the tests and the screenshot use it."""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SHELL = "chromium-headless-shell"
"""The same engine without windows, tabs and a viewer of PDFs: it takes half the processor time."""

MISSING = f"no Chromium here (looked for {', '.join(NAMES)}): apt install chromium"

# A test run needs no sandbox, no GPU, and nothing from the internet.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find(*, whole: bool = False) -> str | None:
    """The path of Chromium, or None; ``whole``: not of its shell."""
    names = NAMES if whole else (SHELL, *NAMES)
    return next((path for name in names if (path := shutil.which(name))), None)


def launch(playwright: Playwright, path: str) -> Browser:
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)

"""Takes the pictures of the inspector in docs/pictures.

    make pictures            all of them
    make pictures ONLY="operations queued"

A real gateway and a real worker, on a server of their own, with the handlers of scenes.py. Needs
Chromium. The text is in Inter and JetBrains Mono if they are installed, else in what the machine
has.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from browser import chromium
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import embedded_server

FOLDER: Final = Path(__file__).parents[3] / "docs" / "pictures"
SCENES: Final = Path(__file__).with_name("scenes.py")
MOST_BYTES: Final = 60_000
MOST_BYTES_OF_ALL: Final = 1_500_000
LIMIT_MS: Final = 10_000

DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 780)
SCHEMES: Final = ("light", "dark")
QUALITIES: Final = (70, 55, 40)

FONT: Final = """
for (const [name, font] of [["--sans", "Inter"], ["--mono", "JetBrains Mono"]])
  document.documentElement.style.setProperty(name, `'${font}', system-ui, sans-serif`);
"""


@dataclass
class Set:
    """What the pictures are taken of."""

    gateway: Gateway
    stack: Stack
    worker: Child | None = None

    def say(self, session: str, text: str) -> str:
        return self.gateway.send(session, text)["run_id"]

    def session(self, name: str, *texts: str) -> str:
        """A session in which these were said, when their runs are over or wait for good."""
        self.gateway.create_session(name)
        for text in texts:
            run = self.say(name, text)
            wait_until(lambda run=run: self._is_settled(name, run), f"{text!r} is shown")  # type: ignore[misc]
        return name

    def _is_settled(self, session: str, run_id: str) -> bool:
        snapshot = self.gateway.snapshot(session)
        run = next((run for run in snapshot["runs"] if run["run_id"] == run_id), None)
        if run is None:
            return False
        if run["ended_at"] is not None:
            return not run["will_retry"]
        return any(ask["status"] == "open" for ask in snapshot["asks"]) or any(
            step["run_id"] == run_id and step["status"] == "running" and step["output"]
            for step in snapshot["steps"]
        )


@dataclass(frozen=True)
class Picture:
    """One state of the page: where it is, and what must be seen before it is taken."""

    name: str
    address: str
    sees: str
    size: tuple[int, int] = DESKTOP
    schemes: Sequence[str] = SCHEMES
    before: Callable[[Page], None] = lambda _page: None


def click(selector: str) -> Callable[[Page], None]:
    return lambda page: page.locator(selector).first.click()


def find(page: Page) -> None:
    page.get_by_label("Find in the session").fill("card")
    page.get_by_role("button", name="Next match").click()


def history(page: Page) -> None:
    page.get_by_role("button", name="More about this session").click()
    page.get_by_role("button", name="History").click()
    page.get_by_role("slider", name="Event").fill("9")


def task(page: Page) -> None:
    page.get_by_role("button", name="Tasks").click()
    page.get_by_label("Task", exact=True).select_option("charge_card")


def step_of(gateway: Gateway, session: str, name: str) -> str:
    steps = gateway.snapshot(session)["steps"]
    [found] = [step["id"] for step in steps if step["name"] == name]
    return str(found)


def with_a_worker(gateway: Gateway) -> list[Picture]:
    charge = step_of(gateway, "checkout", "charge")
    embed = step_of(gateway, "refund", "embed")
    return [
        Picture("nested", "?session=refund", "text=is_refundable"),
        Picture("streaming", "?session=late-orders", "text=most frequent reason"),
        Picture("error", "?session=checkout", "text=declined"),
        Picture("detail", f"?session=checkout&step={charge}", "text=most recent call last"),
        Picture("attempts", "?session=prices", "text=214"),
        Picture("ask", "?session=approval", "text=Send it"),
        Picture("elements", "?session=report", "text=The refund is"),
        Picture("operations", "?view=operations", "text=CardDeclined"),
        Picture("deep", "?session=deep-dive", "text=the leaf"),
        Picture("find", "?session=checkout", "text=1 of", before=find),
        Picture("history", "?session=refund", "text=9 of", before=history),
        Picture("task", "?session=refund", "text=amount", before=task),
        Picture("unknown", "?session=nowhere", "text=Create it"),
        Picture("phone-detail", f"?session=refund&step={embed}", "text=In its run", size=PHONE),
        Picture("phone-deep", "?session=deep-dive", "text=the leaf", size=PHONE),
        Picture("phone", "?session=refund", "text=is_refundable", size=PHONE),
        Picture("phone-operations", "?view=operations", "text=CardDeclined", size=PHONE),
        Picture(
            "phone-sessions",
            "?session=refund",
            ".lists-session",
            size=PHONE,
            before=click(".top-sessions"),
        ),
    ]


def without_a_worker() -> list[Picture]:
    return [
        Picture("queued", "?session=waiting", ".lists-run[data-waits=worker]"),
        Picture("operations-no-worker", "?view=operations", "text=No worker takes runs"),
    ]


def before_anything() -> list[Picture]:
    return [
        Picture("empty", "", "text=No sessions yet"),
        Picture("operations-empty", "?view=operations", "text=Nothing runs"),
    ]


def fill(stage: Set) -> None:
    """Sessions in every state, and work for the page of the operators."""
    stage.session("refund", "Can order 10-482 be refunded?")
    stage.session("late-orders", "Which orders are late, and why?")
    stage.session("checkout", "Charge the card and send the parcel")
    stage.session("prices", "Fetch the prices")
    stage.session("approval", "May I have my money back?")
    stage.session("report", "Write the report")
    stage.session("deep-dive", "Go as deep as you can")
    for number in range(1, 15):
        stage.session(f"customer-{number:02}", f"Refund for customer {number}")
    work = stage.gateway.create_session("batch")
    failed = [
        stage.gateway.start(work, "charge_card", amount=129.0),
        stage.gateway.start(work, "send_invoice", order="10-482"),
    ]
    for run in failed:
        stage.gateway.wait_for_end(work, run)
    for day in ("Monday", "Tuesday"):
        stage.gateway.start(work, "nightly_report", day=day)
    for file in ("north.csv", "south.csv", "west.csv"):
        stage.gateway.start(work, "import_customers", file=file)
    later = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    stage.gateway.client.post(
        f"/v1/sessions/{work}/runs",
        json={"task": "nightly_report", "args": {"day": "Sunday"}, "defer_until": later},
    )
    wait_until(
        lambda: stage.gateway.client.get("/v1/queue").json()["held"] == 2, "two imports are held"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make pictures", description=__doc__)
    arguments.add_argument("only", nargs="*", help="Names of pictures; by default all.")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    path = chromium.find(whole=True)
    if path is None:
        sys.exit(chromium.MISSING)
    given.folder.mkdir(parents=True, exist_ok=True)
    with (
        stage() as scene,
        sync_playwright() as playwright,
        chromium.launch(playwright, path) as browser,
    ):
        photographer = Photographer(browser, scene.gateway, given.folder, given.only)
        photographer.take(before_anything())
        worker = scene.stack.worker(SCENES, STEPWIRE_TRACEBACKS="clients", STEPWIRE_MAX_JOBS="6")
        fill(scene)
        photographer.take(with_a_worker(scene.gateway))
        worker.stop()
        scene.gateway.create_session("waiting")
        scene.say("waiting", "Is anybody there?")
        photographer.take(without_a_worker())
    if photographer.missing:
        sys.exit("\n".join(photographer.missing))
    if not given.only:
        total = sum(file.stat().st_size for file in given.folder.glob("*.webp"))
        print(f"{total / 1000:.0f} kB together")
        if total > MOST_BYTES_OF_ALL:
            sys.exit(f"more than {MOST_BYTES_OF_ALL / 1000:.0f} kB")


@contextmanager
def stage() -> Iterator[Set]:
    with (
        TemporaryDirectory(prefix="stepwire-pictures-") as folder,
        embedded_server() as server,
        Stack(Path(folder), server.url) as stack,
    ):
        yield Set(stack.gateway(), stack)


class Photographer:
    """Takes pictures with one browser; a tab for each colour scheme and size."""

    def __init__(
        self, browser: Browser, gateway: Gateway, folder: Path, only: Sequence[str]
    ) -> None:
        self._browser = browser
        self._gateway = gateway
        self._folder = folder
        self._only = only
        self.missing: list[str] = []
        """Pictures that do not show what they are for."""

    def take(self, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            if self._only and picture.name not in self._only:
                continue
            for scheme in picture.schemes:
                with self._browser.new_context(
                    viewport={"width": picture.size[0], "height": picture.size[1]},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    reduced_motion="reduce",
                ) as context:
                    self._take(context, picture, f"{picture.name}-{scheme}.webp")

    def _take(self, context: BrowserContext, picture: Picture, name: str) -> None:
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.goto(f"{self._gateway.url}/{picture.address}")
        page.evaluate(FONT)
        try:
            picture.before(page)
            page.locator(picture.sees).first.wait_for()
        except PlaywrightError as error:
            # The picture is taken anyway: it shows what is wrong.
            self.missing.append(f"{name}: {error.message.splitlines()[0]}")
        page.evaluate("document.fonts.ready")
        # What came last has been painted when the second frame begins.
        page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        session, content = context.new_cdp_session(page), b""
        for quality in QUALITIES:
            shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
            content = base64.b64decode(shot["data"])
            if len(content) <= MOST_BYTES:
                break
        else:
            sys.exit(f"{name}: {len(content) / 1000:.0f} kB, more than {MOST_BYTES / 1000:.0f}")
        (self._folder / name).write_bytes(content)
        print(f"{name}: {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    main()

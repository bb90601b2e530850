"""``stepwire tail``: a session, live in the terminal."""

from __future__ import annotations

import io
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stepwire.client import NoAnswer, SessionTree
from stepwire_cli.connected import connected
from stepwire_cli.printable import ServerClock, one_line
from stepwire_cli.tail.drawing import STILL, Drawing
from stepwire_cli.tail.transcript import Transcript
from stepwire_cli.tail.waits import Waits
from stepwire_core.wire.kinds import SNAPSHOT, TEXT_DELTA

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from stepwire.client import Connection, Event, Session

FRAMES_PER_S: Final = 12
SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
INTERRUPTED_EXIT: Final = 130


class Display(Protocol):
    """Where a session is shown, as a context manager that leaves the whole behind."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def apply(self, event: Event) -> None:
        """Fold an event into the tree and show what it changed."""

    def trouble(self, what: str | None) -> None:
        """Say why nothing comes, or that it comes again."""

    def waits(self, what: str | None) -> None:
        """Say what a message waits for, from any thread; None: for nothing any more."""


def run_tail(
    session: str,
    *,
    url: str,
    token: str | None = None,
    after: str | None,
    until_idle: bool,
    tracebacks: bool = False,
) -> bool:
    """Show a session until Ctrl-C or, with ``until_idle``, until no run is open any more.

    Goes on by itself after the stream broke, without loss. On a terminal it draws the tree and
    leaves the whole of it behind; anywhere else it writes lines.

    Returns:
        False if a run of the session ended in anything but ok; True after Ctrl-C, which is how a
        person leaves.

    Raises:
        RequestRefused: there is no such session, the token does not open it (any more), or the
            cursor has a wrong form.
        Unavailable: no gateway answered in the first place.
        SystemExit: 130 for Ctrl-C before the session was idle.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A mark that the terminal's encoding lacks must not end the command.
        sys.stdout.reconfigure(errors="replace")
    tree = SessionTree()
    console = Console(highlight=False, markup=False, emoji=False)
    display: Display
    if console.is_terminal and not console.is_dumb_terminal:
        display = Screen(tree, console, url, tracebacks=tracebacks)
    else:
        display = Transcript(tree, _write_line, url, tracebacks=tracebacks)
    try:
        with display, connected(url, token) as client:
            _follow(client.session(session), tree, display, after=after, until_idle=until_idle)
    except KeyboardInterrupt:
        if until_idle:
            sys.exit(INTERRUPTED_EXIT)
        return True
    return not tree.failed


def _follow(
    session: Session, tree: SessionTree, display: Display, *, after: str | None, until_idle: bool
) -> None:
    def on_connection(connection: Connection) -> None:
        display.trouble(_trouble(connection))

    with (
        Waits(session, display.waits) as waits,
        closing(session.events(after=after, on_connection=on_connection)) as events,
    ):
        for event in events:
            display.apply(event)
            waits.note(event, tree)
            if until_idle and tree.idle:
                return


def _trouble(connection: Connection) -> str | None:
    """Why nothing comes; None if it does, or may."""
    if connection.state != "reconnecting":
        return None
    error = connection.error
    if error is None or not connection.failures:
        return "the connection is lost, trying again"
    if isinstance(error, NoAnswer):
        return "no gateway answers, trying again"
    return f"the gateway says {one_line(f'{error.code}: {error}')!r}, trying again"


class Screen:
    """Draws the tree in place, at most :data:`FRAMES_PER_S` times a second, in a thread of its own.

    Events only mark the picture as old, so their number costs nothing. What does not fit the
    terminal is left out above; the whole is printed on leaving.
    """

    def __init__(
        self, tree: SessionTree, console: Console, url: str, *, tracebacks: bool = False
    ) -> None:
        self._tree = tree
        self._url = url
        self._console = console
        self._clock = ServerClock()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_old = True
        self._tracebacks = tracebacks
        self._trouble: str | None = None
        self._waits: str | None = None
        self._stopped_s: float | None = None
        self._failure: Exception | None = None
        self._width = console.width
        self._live = self._new_live()
        self._thread = threading.Thread(target=self._run, name="stepwire-tail", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._live.stop()
        now_s = self._clock.now_s()
        drawing = Drawing(
            self._tree, self._console, now_s=now_s, url=self._url, tracebacks=self._tracebacks
        )
        for line in drawing.lines():
            self._console.print(line, soft_wrap=True)

    def apply(self, event: Event) -> None:
        if self._failure is not None:
            raise self._failure
        with self._lock:
            nodes = self._tree.apply(event)
            self._is_old = True
        if event.type == SNAPSHOT:
            self._clock.caught_up()
        elif event.type != TEXT_DELTA:
            for node in nodes:
                self._clock.observe(node.document.ts)

    def trouble(self, what: str | None) -> None:
        with self._lock:
            self._is_old |= what != self._trouble
            if self._trouble is None or what is None:
                # Nobody knows how long things take while nothing is heard of them.
                self._stopped_s = None if what is None else self._clock.now_s()
            self._trouble = what

    def waits(self, what: str | None) -> None:
        self._is_old |= what != self._waits
        self._waits = what

    def _run(self) -> None:
        try:
            while not self._done.wait(1 / FRAMES_PER_S):
                self._refresh()
        except Exception as error:  # noqa: BLE001 - raised again where the events come in
            self._failure = error

    def _refresh(self) -> None:
        with self._lock:
            if not (self._is_old or self._tree.open_runs or self._trouble):
                return
            self._is_old = False
            picture = Group(*self._picture())
        if self._console.width != self._width:
            # The terminal has wrapped our lines anew, and their positions are unknown.
            self._live.stop()
            self._console.clear()
            self._width = self._console.width
            self._live = self._new_live()
            self._live.start()
        self._live.update(picture, refresh=True)

    def _picture(self) -> list[Text]:
        # One line below stays free for the cursor, two are the status.
        height = max(self._console.height - 3, 1)
        spinner = SPINNER[int(time.monotonic() * 10) % len(SPINNER)]
        if self._stopped_s is None:
            now_s, mark = self._clock.now_s(), spinner
        else:
            now_s, mark = self._stopped_s, STILL
        drawing = Drawing(
            self._tree,
            self._console,
            now_s=now_s,
            spinner=mark,
            fold=height,
            url=self._url,
            tracebacks=self._tracebacks,
        )
        status = self._status(spinner)
        status.truncate(max(self._console.width - 1, 1), overflow="ellipsis")
        return [*drawing.latest_lines(height), Text(), status]

    def _status(self, spinner: str) -> Text:
        if self._trouble:
            return Text(f"{spinner} {self._trouble}", "yellow")
        steps = f"{_count(len(self._tree.steps), 'step')} · Ctrl-C leaves"
        if unread := self._tree.unread.total():
            steps += f" · {_count(unread, 'event')} left out: of a newer stepwire than this"
        if self._waits:
            return Text(f"{spinner} {self._waits} · {steps}", "yellow")
        if open_runs := len(self._tree.open_runs):
            return Text(f"{spinner} {_count(open_runs, 'run')} open · {steps}", "dim")
        return Text(f"● live · {steps}", "dim")

    def _new_live(self) -> Live:
        return Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )


def _write_line(line: str) -> None:
    print(line, flush=True)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

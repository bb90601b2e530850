"""``stepwire dev``: server, worker and gateway as processes of one terminal."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from watchfiles import PythonFilter, watch

from stepwire._handlers.loading import names_file
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.errors import HandlerModuleError, SettingsError
from stepwire_core.process.listen_address import require_address
from stepwire_core.settings import environment, is_loopback, load_settings
from stepwire_core.values.addresses import redacted

QUEUE_NAME: Final = "stepwire:dev"
"""Not that of a production queue, which may be on the server that the user names."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from stepwire_cli.dev.child_processes import Child
    from stepwire_core.settings import Settings


def run_dev(
    app: str,
    *,
    host: str | None,
    port: int | None,
    redis_url: str | None,
    elements_url: str | None,
    reload: bool,
    verbose: bool,
) -> int:
    """Run until Ctrl-C or SIGTERM, then stop everything; the exit code.

    Raises:
        HandlerModuleError: the file does not exist.
        SettingsError: a setting is wrong, the port is taken, the host is not loopback, or there is
            no server to embed.
        NotStarted: the gateway has ended, or does not answer in time.
    """
    settings = load_settings(host=host, port=port, redis_url=redis_url, elements_url=elements_url)
    _check(app, settings)
    host, port = settings.host, settings.port
    stopping = threading.Event()
    _on_signals(stopping)
    with ExitStack() as stack:
        if redis_url is None:
            redis_url = stack.enter_context(embedded_server()).url
            click.echo(f"  server     {redis_url}  (embedded; its data is deleted at the end)")
        else:
            click.echo(f"  server     {redacted(redis_url)}")
        environment_now = partial(_environment, redis_url, elements_url)
        env = environment_now()
        options = ["--verbose"] if verbose else []
        gateway = child_processes.gateway(env, host=host, port=port)
        worker = child_processes.worker(app, env)
        for child in (gateway, worker):
            child.arguments += options
            child.start()
            stack.callback(child.stop)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        ready = partial(child_processes.gateway_is_ready, url)
        if not child_processes.wait_until(ready, "the gateway", [gateway], stopping=stopping):
            return 0
        click.echo(f"  inspector  {url}")
        click.echo(f"  try        stepwire send - 'Hello' --tail{_url_option(url)}")
        click.echo(
            f"  look       stepwire runs --queue-url {redacted(redis_url)} "
            f"--queue-name {QUEUE_NAME}"
        )
        click.echo("  stop       Ctrl-C\n")
        return _supervise(gateway, worker, stopping, app if reload else None, environment_now)


def _environment(redis_url: str, elements_url: str | None) -> dict[str, str]:
    """The environment of our processes, which share nothing with a production that is set up."""
    places = {"redis_url": redis_url, "queue_url": redis_url, "queue_name": QUEUE_NAME}
    if elements_url is not None:
        places["elements_url"] = elements_url
    # A person who works on a handler does not want to wait for one that hangs.
    return {"STEPWIRE_GRACE_S": "2", "STEPWIRE_TRACEBACKS": "clients"} | environment(**places)


def _check(app: str, settings: Settings) -> None:
    if not (is_loopback(settings.host) or settings.has_auth):
        raise SettingsError(
            "'stepwire dev' has no authentication and listens on loopback only, not on "
            f"{settings.host}: set STEPWIRE_AUTH_SECRETS, STEPWIRE_AUTH_JWKS_URL or "
            "STEPWIRE_API_KEYS to open it to other machines"
        )
    if names_file(app) and not Path(app).is_file():
        raise HandlerModuleError(
            f"{app} is not a file: give the path of the module with your handlers"
        )
    require_address(settings.host, settings.port)


def _on_signals(stopping: threading.Event) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _supervise(
    gateway: Child,
    worker: Child,
    stopping: threading.Event,
    app: str | None,
    environment_now: Callable[[], dict[str, str]],
) -> int:
    """Keep both running; a worker that fails waits for the next change of a file."""
    told = False
    for changed in _changes(app, stopping):
        if gateway.exit_code is not None:
            click.echo(f"the gateway has ended with exit code {gateway.exit_code}", err=True)
            return 1
        if changed:
            click.echo(f"  reload     {', '.join(sorted(changed))}")
            worker.stop()
            # What .env says may have changed, too.
            worker.env = environment_now()
            worker.start()
            told = False
        elif worker.exit_code is not None and not told:
            if app is None:
                return worker.exit_code
            click.echo("the worker has ended; it starts again when a file changes", err=True)
            told = True
    return 0


def _changes(app: str | None, stopping: threading.Event) -> Iterator[set[str]]:
    """The files that changed, as they do; nothing at least every second."""
    if app is None:
        while not stopping.wait(0.5):
            yield set()
        return
    folder = Path(app).resolve().parent if app.endswith(".py") else Path.cwd()
    for changes in watch(
        folder,
        watch_filter=PythonFilter(),
        stop_event=stopping,
        rust_timeout=500,
        yield_on_timeout=True,
        raise_interrupt=False,
    ):
        yield {os.path.relpath(path) for _, path in changes}


def _url_option(url: str) -> str:
    return "" if url == "http://127.0.0.1:8000" else f" --url {url}"

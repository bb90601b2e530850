"""The commands and their options; what they do is in the modules that they call."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from stepwire_cli import session_commands
from stepwire_cli.extras import EXIT_CODE, MissingExtra, needs
from stepwire_cli.log_lines import configure_logs, ends_in_the_log
from stepwire_cli.ops import queue_commands
from stepwire_cli.printable import documents_as_json, printable
from stepwire_core.errors import StepwireError
from stepwire_core.process.health_file import check_health
from stepwire_core.process.loading import keep_what_is_loaded
from stepwire_core.queue.run_list import WantedRuns
from stepwire_core.settings import Settings, load_settings, misspelt_settings
from stepwire_core.wire.run_entry import FAILED, UNDER_WAY, RunEntry

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from stepwire.client import Client

logger = logging.getLogger("stepwire.settings")

_CONTEXT = {"show_default": True, "help_option_names": ["-h", "--help"]}


def _default(name: str) -> object:
    return Settings.model_fields[name].default


class _NotInstalled(click.ClickException):
    exit_code = EXIT_CODE


class _Group(click.Group):
    """Shows our own errors as what they are: a message, no traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MissingExtra as error:
            raise _NotInstalled(str(error)) from error
        except StepwireError as error:
            # It may have the words of a server that is not ours.
            raise click.ClickException(printable(str(error))) from error
        except BrokenPipeError:
            # The reader of our output (`| head`) has left: what is still buffered is dropped.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(package_name="stepwire")
def main() -> None:
    """Live, nested steps of LLM agents in background workers, streamed to any browser.

    Every setting is an environment variable STEPWIRE_…, read from .env too; see docs/settings.md.
    """


redis_option = click.option(
    "--redis-url",
    help=f"Where the event log is.  [default: $STEPWIRE_REDIS_URL or {_default('redis_url')}]",
)
queue_option = click.option(
    "--queue-url", help="Where arq's queue is.  [default: $STEPWIRE_QUEUE_URL or the log's]"
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log more.")


@main.command()
@click.argument("app", metavar="APP.PY")
@click.option(
    "--host", help=f"Address to listen on.  [default: $STEPWIRE_HOST or {_default('host')}]"
)
@click.option("--port", type=int, help=f"Port.  [default: $STEPWIRE_PORT or {_default('port')}]")
@click.option("--redis-url", help="Use this server instead of an embedded one.")
@click.option("--elements-url", help="Keep large elements here: s3://bucket/prefix.")
@click.option("--reload/--no-reload", default=True, help="Restart the worker when a file changes.")
@verbose_option
def dev(
    app: str,
    host: str | None,
    port: int | None,
    redis_url: str | None,
    elements_url: str | None,
    reload: bool,
    verbose: bool,
) -> None:
    """Run everything on this machine: server, worker and gateway, reloading on change.

    It keeps apart from what the settings name: of their addresses only the options here count.
    """
    configure_logs(verbose=verbose)
    with needs("dev"):
        from stepwire_cli.dev.launcher import run_dev

    sys.exit(
        run_dev(
            app,
            host=host,
            port=port,
            redis_url=redis_url,
            elements_url=elements_url,
            reload=reload,
            verbose=verbose,
        )
    )


@main.command()
@click.argument("app", metavar="APP.PY", required=False)
@redis_option
@queue_option
@click.option("--max-jobs", type=int, help=f"Runs at a time.  [default: {_default('max_jobs')}]")
@click.option(
    "--check",
    is_flag=True,
    help="Exit 0 if the worker that has this $STEPWIRE_HEALTH_FILE lives, else 1.",
)
@verbose_option
def worker(
    app: str | None,
    redis_url: str | None,
    queue_url: str | None,
    max_jobs: int | None,
    check: bool,
    verbose: bool,
) -> None:
    """Execute runs with the handlers of a file (app.py) or module (package.app)."""
    settings = load_settings(redis_url=redis_url, queue_url=queue_url, max_jobs=max_jobs)
    if check:
        check_health(settings)
        return
    with needs("worker"):
        from stepwire._handlers.loading import load_handlers
        from stepwire._scope.context import trace_here
        from stepwire._worker.arq_worker import run_worker

    configure_logs(verbose=verbose, settings=settings, trace=trace_here)
    _warn_of_misspelt_settings()
    if app is None:
        raise click.UsageError("name the file or module with your handlers: stepwire worker app.py")
    with ends_in_the_log(settings):
        handlers = load_handlers(app)
        keep_what_is_loaded()
        run_worker(handlers, settings)


@main.command()
@click.option(
    "--host", help=f"Address to listen on.  [default: $STEPWIRE_HOST or {_default('host')}]"
)
@click.option("--port", type=int, help=f"Port.  [default: $STEPWIRE_PORT or {_default('port')}]")
@click.option(
    "--root-path",
    help="The path under which a proxy publishes it, as /stepwire.  [default: $STEPWIRE_ROOT_PATH]",
)
@redis_option
@queue_option
@verbose_option
def gateway(
    host: str | None,
    port: int | None,
    root_path: str | None,
    redis_url: str | None,
    queue_url: str | None,
    verbose: bool,
) -> None:
    """Serve the HTTP API, the event streams and the inspector page."""
    with needs("gateway"):
        from stepwire_gateway.http.request_trace import request_trace
        from stepwire_gateway.server import run_gateway

    settings = load_settings(
        redis_url=redis_url, queue_url=queue_url, host=host, port=port, root_path=root_path
    )
    configure_logs(verbose=verbose, settings=settings, trace=request_trace)
    _warn_of_misspelt_settings()
    with ends_in_the_log(settings):
        keep_what_is_loaded()
        run_gateway(settings)


def _warn_of_misspelt_settings() -> None:
    for name, meant in misspelt_settings().items():
        logger.warning("%s is not a known setting and is ignored; did you mean %s?", name, meant)


for command in session_commands.COMMANDS:
    main.add_command(command)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON array, for scripts.")


def names_queue(command: Callable[..., object]) -> Callable[..., object]:
    """Adds the options that name the log and the queue, and hands the command the function that
    loads the settings with them: with ``--gateway`` they may be wrong, and are not needed."""

    @functools.wraps(command)
    def with_settings(
        *args: Any,
        redis_url: str | None,
        queue_url: str | None,
        queue_name: str | None,
        **options: Any,
    ) -> object:
        load = functools.partial(
            load_settings, redis_url=redis_url, queue_url=queue_url, queue_name=queue_name
        )
        return command(*args, settings_of_queue=load, **options)

    queue_name_option = click.option(
        "--queue-name",
        help=f"Its name.  [default: $STEPWIRE_QUEUE_NAME or {_default('queue_name')}]",
    )
    for option in (queue_name_option, queue_option, redis_option):
        with_settings = option(with_settings)
    return with_settings


def _client_of(gateway: session_commands.Gateway) -> AbstractContextManager[Client]:
    with needs("client"):
        from stepwire_cli.connected import connected
    return connected(gateway.url, gateway.token)


@main.command()
@names_queue
@session_commands.may_talk_to_gateway
@json_option
def workers(
    settings_of_queue: Callable[[], Settings],
    gateway: session_commands.Gateway | None,
    as_json: bool,
) -> None:
    """Show the workers and their runs.

    A worker that has died vanishes within a lease. The list is at most a second old.
    """
    if gateway is not None:
        with _client_of(gateway) as client:
            found = client.workers()
    else:
        found = asyncio.run(queue_commands.list_workers(settings_of_queue()))
    if as_json:
        click.echo(documents_as_json(found))
        return
    with needs("dev"):
        from stepwire_cli.ops.tables import print_workers

    print_workers(found)


@main.command()
@names_queue
@session_commands.may_talk_to_gateway
@json_option
def tasks(
    settings_of_queue: Callable[[], Settings],
    gateway: session_commands.Gateway | None,
    as_json: bool,
) -> None:
    """Show the tasks of the workers that are there, with their arguments.

    A gateway shows them to callers that have the right 'write' in any session.
    """
    if gateway is not None:
        with _client_of(gateway) as client:
            found = client.tasks()
    else:
        found = asyncio.run(queue_commands.list_tasks(settings_of_queue()))
    if as_json:
        click.echo(documents_as_json(found.tasks))
        return
    with needs("dev"):
        from stepwire_cli.ops.tables import print_tasks

    print_tasks(found)


@main.command()
@click.option("--failed", is_flag=True, help="Show the runs that failed for good, newest first.")
@click.option("--limit", type=click.IntRange(min=1), default=100, help="Show at most this many.")
@click.option("--handler", help="Only the runs of this handler or task.")
@click.option("--subject", help="Only the runs of this subject.")
@click.option("--tag", help="Only the runs with this tag.")
@names_queue
@session_commands.may_talk_to_gateway
@json_option
def runs(
    failed: bool,
    limit: int,
    handler: str | None,
    subject: str | None,
    tag: str | None,
    settings_of_queue: Callable[[], Settings],
    gateway: session_commands.Gateway | None,
    as_json: bool,
) -> None:
    """Show the runs that wait or run, or those that failed.

    With a filter, or from a gateway, they come in the form of GET /v1/runs.
    """
    wanted = WantedRuns(FAILED if failed else UNDER_WAY, handler, subject, tag)
    if gateway is not None or wanted != WantedRuns(wanted.statuses):
        found = _found_runs(gateway, settings_of_queue, wanted, limit)
        if as_json:
            click.echo(documents_as_json(found))
            return
        with needs("dev"):
            from stepwire_cli.ops.tables import print_entries
        print_entries(found)
        return
    settings = settings_of_queue()
    if failed:
        letters = asyncio.run(queue_commands.list_failed(settings, limit))
        if as_json:
            click.echo(documents_as_json(letters))
            return
        with needs("dev"):
            from stepwire_cli.ops.tables import print_failed
        print_failed(letters)
        return
    listed = asyncio.run(queue_commands.list_runs(settings, limit))
    if as_json:
        click.echo(documents_as_json(listed))
        return
    with needs("dev"):
        from stepwire_cli.ops.tables import print_runs
    print_runs(listed)


def _found_runs(
    gateway: session_commands.Gateway | None,
    settings_of_queue: Callable[[], Settings],
    wanted: WantedRuns,
    limit: int,
) -> list[RunEntry]:
    if gateway is None:
        return asyncio.run(queue_commands.find_runs(settings_of_queue(), wanted, limit))
    with _client_of(gateway) as client:
        listed = client.runs(
            status=sorted(wanted.statuses),
            handler=wanted.handler,
            subject=wanted.subject,
            tag=wanted.tag,
        )
        return list(islice(listed, limit))


@main.command()
@names_queue
@session_commands.may_talk_to_gateway
@click.option("--strict", is_flag=True, help="Exit 1 for warnings, too.")
@json_option
def doctor(
    settings_of_queue: Callable[[], Settings],
    gateway: session_commands.Gateway | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Look at a deployment, and say what is wrong and what to change.

    Give it the settings that the deployment has, and with --gateway the address that clients use:
    it then looks through the proxies in front, too. It changes nothing. Exit code 1: an error.
    """
    from stepwire_cli.doctor.examination import examine, show
    from stepwire_cli.doctor.finding import exit_code

    settings = settings_of_queue()
    findings = asyncio.run(examine(settings))
    if gateway is not None:
        with needs("client"):
            from stepwire_cli.doctor.gateway_checks import look_at_gateway
        findings += look_at_gateway(gateway.url, gateway.token)
    if as_json:
        click.echo(documents_as_json(findings))
    else:
        show(findings)
    sys.exit(exit_code(findings, strict=strict))


@main.command()
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="Retry all failed runs, oldest first.")
@names_queue
def retry(
    run: str | None,
    every: bool,
    settings_of_queue: Callable[[], Settings],
) -> None:
    """Repeat a failed RUN as a new run of its session, and print the id of the new run."""
    if (run is None) != every:
        raise click.UsageError("name one run, or use --all: stepwire retry RUN")
    settings = settings_of_queue()
    if run is not None:
        click.echo(asyncio.run(queue_commands.retry_run(settings, run)))
        return

    async def retry_all() -> bool:
        good = True
        async for retried in queue_commands.retry_all(settings):
            if retried.problem is not None:
                good = False
                click.echo(f"Error: {retried.problem}", err=True)
            else:
                click.echo(retried.run_id)
        return good

    sys.exit(0 if asyncio.run(retry_all()) else 1)

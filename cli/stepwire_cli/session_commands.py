"""The commands that talk to a gateway, and their options."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from stepwire_cli.extras import needs
from stepwire_cli.printable import documents_as_json
from stepwire_core.errors import SettingsError
from stepwire_core.settings import ClientSettings, load_client_settings
from stepwire_core.wire.rights import RIGHTS
from stepwire_core.wire.session_entry import SessionStatus

if TYPE_CHECKING:
    from stepwire.client import Session
    from stepwire_core.wire.rights import Right

_STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The address of a gateway, and the token that it gets."""

    url: str
    token: str | None


def _talks_to_gateway(command: Callable[..., object]) -> Callable[..., object]:
    """Adds the options that say which gateway, and hands it to the command as ``gateway``."""

    @functools.wraps(command)
    def with_gateway(
        *args: Any, url: str | None, token: str | None, token_file: str | None, **options: Any
    ) -> object:
        gateway = _gateway(url=url, token=token, token_file=token_file)
        return command(*args, gateway=gateway, **options)

    for option in (_token_file_option, _token_option, _url_option):
        with_gateway = option(with_gateway)
    return with_gateway


def may_talk_to_gateway(command: Callable[..., object]) -> Callable[..., object]:
    """Adds the options with which a command asks a gateway instead of Redis, and hands it to the
    command as ``gateway``, which is None without ``--gateway``."""

    @functools.wraps(command)
    def with_gateway(
        *args: Any,
        gateway_url: str | None,
        token: str | None,
        token_file: str | None,
        **options: Any,
    ) -> object:
        if gateway_url is None:
            if token is not None or token_file is not None:
                raise click.UsageError("a token is for a gateway: say which, with --gateway URL")
            return command(*args, gateway=None, **options)
        return command(
            *args, gateway=_gateway(url=gateway_url, token=token, token_file=token_file), **options
        )

    for option in (_token_file_option, _token_option, _gateway_option):
        with_gateway = option(with_gateway)
    return with_gateway


def _gateway(*, url: str | None, token: str | None, token_file: str | None) -> Gateway:
    if token is not None and token_file is not None:
        raise click.UsageError("give the token with --token or with --token-file, not both")
    settings = load_client_settings(url=url, token=token, token_file=token_file)
    # An option wins over what the environment and .env say.
    return Gateway(settings.url, _token(settings, in_file=token_file is not None))


# One name is as good as the other: what works for one command works for all of them.
_gateway_option = click.option(
    "--gateway",
    "--url",
    "gateway_url",
    metavar="URL",
    help="Ask this gateway instead of Redis; it needs a token with the right 'admin'.",
)
_url_option = click.option(
    "--url",
    "--gateway",
    "url",
    help="Where the gateway is.  "
    f"[default: $STEPWIRE_URL or {ClientSettings.model_fields['url'].default}]",
)
_token_option = click.option(
    "--token",
    metavar="TOKEN",
    help="A token or an API key, if the gateway asks for one. Other users of this machine can "
    "see it in the list of processes.  [default: $STEPWIRE_TOKEN]",
)
_token_file_option = click.option(
    "--token-file",
    metavar="FILE",
    help="Read the token from this file; '-' is the standard input.  "
    "[default: $STEPWIRE_TOKEN_FILE]",
)
_file_option = click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Send this file along; can be given several times.",
)
_tail_option = click.option(
    "--tail", "follow", is_flag=True, help="Then draw the session until the run is over."
)


def _token(settings: ClientSettings, *, in_file: bool) -> str | None:
    if settings.token is not None and not in_file:
        return _alone(settings.token.get_secret_value(), "STEPWIRE_TOKEN, or --token,")
    if settings.token_file is None:
        return None
    try:
        is_input = settings.token_file == _STDIN
        text = sys.stdin.read() if is_input else Path(settings.token_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(
            f"the token cannot be read from {settings.token_file}: {why}"
        ) from error
    return _alone(text, settings.token_file)


def _alone(text: str, where: str) -> str:
    """The token in a text; with anything else in it, it could not be sent as a header."""
    words = text.split()
    if len(words) != 1 or not (words[0].isascii() and words[0].isprintable()):
        raise SettingsError(
            f"{where} must hold a token alone: put the token, or the API key, into it, and "
            "nothing else"
        )
    return words[0]


def _draw(
    session: str,
    gateway: Gateway,
    *,
    after: str | None = None,
    until_idle: bool,
    tracebacks: bool = False,
) -> None:
    with needs("dev"):
        from stepwire_cli.tail.live import run_tail

    shown = run_tail(
        session,
        url=gateway.url,
        token=gateway.token,
        after=after,
        until_idle=until_idle,
        tracebacks=tracebacks,
    )
    sys.exit(0 if shown else 1)


@click.command()
@click.argument("session")
@_talks_to_gateway
@click.option("--after", help="Start after this cursor instead of with the whole state.")
@click.option("--until-idle", is_flag=True, help="Exit when no run is open any more.")
@click.option(
    "--tracebacks", is_flag=True, help="Show the tracebacks of errors, if clients get them."
)
def tail(
    session: str, gateway: Gateway, after: str | None, until_idle: bool, tracebacks: bool
) -> None:
    """Draw the step tree of SESSION live in the terminal, until Ctrl-C."""
    _draw(session, gateway, after=after, until_idle=until_idle, tracebacks=tracebacks)


@click.command()
@click.argument("session")
@click.argument("text", required=False, default="")
@_file_option
@click.option("--profile", help="Chat profile of the new session.  [default: the default profile]")
@_talks_to_gateway
@_tail_option
def send(
    session: str,
    text: str,
    files: tuple[Path, ...],
    profile: str | None,
    gateway: Gateway,
    follow: bool,
) -> None:
    """Send TEXT as a person's message to SESSION; '-' as SESSION makes a new one."""
    if not text and not files:
        raise click.UsageError("give a TEXT, or files with --file, or both")
    with needs("client"):
        from stepwire_cli.connected import NEW_SESSION, connected

    is_new = session == NEW_SESSION
    if profile is not None and not is_new:
        raise click.UsageError(
            "a session keeps its chat profile: create a new session, with - as SESSION"
        )
    with connected(gateway.url, gateway.token) as client:
        chosen = client.create_session(chat_profile=profile) if is_new else client.session(session)
        chosen.send(text, files=files)
    click.echo(chosen.id)
    if follow:
        _draw(chosen.id, gateway, until_idle=True)


@click.command()
@click.argument("session")
@click.argument("text", required=False, default="")
@click.option("--ask", help="The id of the question, or how it begins.  [default: the only one]")
@_file_option
@click.option("--cancel", is_flag=True, help="Cancel the element that asks.")
@_talks_to_gateway
@_tail_option
def answer(
    session: str,
    text: str,
    ask: str | None,
    files: tuple[Path, ...],
    cancel: bool,
    gateway: Gateway,
    follow: bool,
) -> None:
    """Answer a handler's question in SESSION: with TEXT, the name of an action, or files; an
    element with what it submits, a JSON object."""
    with needs("client"):
        from stepwire_cli.connected import connected
    from stepwire_cli.reply import chosen_ask, given_answer, given_submission

    with connected(gateway.url, gateway.token) as client:
        known = client.session(session)
        found = chosen_ask(known.read().asks, ask)
        # Checked before anything is uploaded: what is in the session stays there.
        if found.kind == "element":
            known.answer(found.id, submission=given_submission(found, text, files, cancel=cancel))
        elif cancel:
            raise click.UsageError("only an element that asks can be cancelled")
        else:
            content, action = given_answer(found, text, files)
            known.answer(found.id, content, action=action, files=files or None)
    click.echo(found.id)
    if follow:
        _draw(session, gateway, until_idle=True)


@click.command()
@click.argument("session")
@click.argument("values", nargs=-1, metavar="[INPUT=VALUE]...")
@_talks_to_gateway
@_tail_option
def settings(session: str, values: tuple[str, ...], gateway: Gateway, follow: bool) -> None:
    """Show the settings of SESSION, or change some of them.

    A VALUE is JSON (5, true, "text", null, ["a"]), or else text as it stands.
    """
    with needs("client"):
        from stepwire_cli.connected import connected
    from stepwire_cli.reply import given_settings, shown_settings

    given = given_settings(values)
    with connected(gateway.url, gateway.token) as client:
        known = client.session(session)
        if given:
            known.change_settings(given)
        lines = shown_settings(session, known.read().settings)
    for line in lines:
        click.echo(line)
    if follow:
        _draw(session, gateway, until_idle=True)


@click.command()
@click.argument("session")
@click.argument("run", required=False)
@_talks_to_gateway
def cancel(session: str, run: str | None, gateway: Gateway) -> None:
    """Stop RUN of SESSION, or all of its open runs, and print their ids.

    A run that still waits for a worker does not count as open: give its id.
    """
    with needs("client"):
        from stepwire_cli.connected import connected

    with connected(gateway.url, gateway.token) as client:
        known = client.session(session)
        runs = [run] if run is not None else _open_runs(known)
        for each in runs:
            known.cancel(each)
            click.echo(each)
    if not runs:
        click.echo("no run of this session is open", err=True)


def _open_runs(session: Session) -> list[str]:
    return [run_id for run_id, run in session.read().runs.items() if run.is_open]


@click.command()
@click.argument("session")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_talks_to_gateway
def delete(session: str, yes: bool, gateway: Gateway) -> None:
    """Delete SESSION with everything in it, for all users, and stop its runs."""
    if not yes:
        click.confirm(f"Delete session {session!r} for all users?", abort=True, err=True)
    with needs("client"):
        from stepwire_cli.connected import connected

    with connected(gateway.url, gateway.token) as client:
        client.session(session).delete()


@click.command()
@click.argument("subject")
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(RIGHTS),
    default=("read", "write", "cancel"),
    help="A right of the token; can be given several times.",
)
@click.option(
    "--ttl",
    "ttl_s",
    type=click.IntRange(min=1),
    default=3600,
    help="How long the token is valid, in seconds.",
)
@click.option("--priority", type=click.IntRange(0, 9), help="Priority of the runs that it starts.")
@_talks_to_gateway
def token(
    subject: str,
    sessions: tuple[str, ...],
    rights: tuple[Right, ...],
    ttl_s: int,
    priority: int | None,
    gateway: Gateway,
) -> None:
    """Make a token for SUBJECT that opens each SESSION.

    '*' stands for all sessions, and 'ada:*' for those whose ids begin with 'ada:'. The gateway
    makes the token, since it has the secret: give one of its API keys (STEPWIRE_API_KEYS) with
    --token-file or in STEPWIRE_TOKEN.
    """
    with needs("client"):
        from stepwire_cli.connected import connected

    with connected(gateway.url, gateway.token) as client:
        made = client.create_token(subject, sessions, rights=rights, ttl_s=ttl_s, priority=priority)
    click.echo(made.token)


@click.command()
@click.option("--subject", help="Only the sessions of this subject.")
@click.option("--status", type=click.Choice(get_args(SessionStatus)), help="Only of this status.")
@click.option("--title", help="Only those with this text in their title.")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="Show at most this many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for scripts.")
@_talks_to_gateway
def sessions(
    gateway: Gateway,
    subject: str | None,
    status: str | None,
    title: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the sessions that the token opens, the one with the newest activity first."""
    with needs("client"):
        from stepwire_cli.connected import connected

    with connected(gateway.url, gateway.token) as client:
        listed = client.sessions(subject=subject, status=status, title=title)
        found = list(islice(listed, limit))
    if as_json:
        click.echo(documents_as_json(found))
        return
    with needs("dev"):
        from stepwire_cli.ops.tables import print_sessions

    print_sessions(found)


COMMANDS: Final = (tail, send, answer, settings, cancel, delete, token, sessions)

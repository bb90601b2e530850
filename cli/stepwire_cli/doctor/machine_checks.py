"""The settings and the machine that the command runs with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stepwire_cli.doctor.finding import Finding, error, ok, unknown, warning
from stepwire_core.settings import is_loopback, misspelt_settings

if TYPE_CHECKING:
    from stepwire_core.settings import Settings

RESERVE: Final = 128
"""Files of a gateway beside its connections."""


def look_at_machine(settings: Settings) -> list[Finding]:
    return [*_settings(settings), *_files(settings)]


def _settings(settings: Settings) -> Iterator[Finding]:
    misspelt = misspelt_settings()
    for name, meant in misspelt.items():
        yield warning(
            "settings", "names", f"{name} is not a setting and is ignored", f"write {meant}"
        )
    if not misspelt:
        yield ok("settings", "names", "every STEPWIRE_… is a setting")
    if not settings.has_auth and not is_loopback(settings.host) and not settings.auth_open:
        yield error(
            "settings",
            "authentication",
            f"a gateway with these settings does not start: it would be open at {settings.host}",
            "set STEPWIRE_AUTH_SECRETS, STEPWIRE_AUTH_JWKS_URL or STEPWIRE_API_KEYS",
        )
    if settings.max_attempts == 1:
        yield warning(
            "settings",
            "attempts",
            "STEPWIRE_MAX_ATTEMPTS is 1: a run whose worker dies or is replaced is not tried again",
            "raise it, or give max_attempts to the handlers that may be repeated",
        )


def _files(settings: Settings) -> Iterator[Finding]:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.effective_max_connections + RESERVE
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        yield ok("machine", "open files", f"the hard limit is enough for {wanted}")
    else:
        yield warning(
            "machine",
            "open files",
            f"the hard limit is {hard}; a gateway with these settings wants {wanted}",
            "raise it (LimitNOFILE, ulimits in Docker), or lower STEPWIRE_MAX_STREAMS",
        )
    if (
        settings.elements_url is None
        and settings.elements_redis_bytes < settings.elements_max_bytes
    ):
        yield unknown(
            "settings",
            "large files",
            f"elements above {settings.elements_redis_bytes // 2**20} MiB are refused: "
            "STEPWIRE_ELEMENTS_URL names no object storage",
        )

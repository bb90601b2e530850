"""Where a gateway is to listen, looked at before it starts."""

from __future__ import annotations

import errno
import socket

from stepwire_core.errors import SettingsError


def require_address(host: str, port: int) -> None:
    """Fail early, in one line that says what to change, when no process can listen there.

    Raises:
        SettingsError: the port is taken, or the host is none of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _unusable(host, error) from error
    problems = [why for family, *_, address in found if (why := _problem(family, address))]
    for problem in problems:
        if problem.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} is taken on {host}: stop what listens there, or choose another with "
                "--port or STEPWIRE_PORT"
            ) from problem
    if len(problems) == len(found):
        raise _unusable(host, problems[0]) from problems[0]


def _problem(family: int, address: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _unusable(host: str, error: Exception) -> SettingsError:
    why = getattr(error, "strerror", None) or error
    return SettingsError(
        f"cannot listen on {host!r} ({why}): give an address of this machine with --host or "
        "STEPWIRE_HOST"
    )

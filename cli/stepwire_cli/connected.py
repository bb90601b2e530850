"""The client as the commands use it: its errors say what to do at a command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from stepwire.client import Client, NoAnswer, Unauthenticated

NEW_SESSION: Final = "-"

_TIMEOUT_S: Final = 10.0


@contextmanager
def connected(url: str, token: str | None = None) -> Iterator[Client]:
    """A client that asks once: a person sees at once what is wrong.

    Raises:
        GatewayError: as the client raises it, with what to do about it.
    """
    try:
        with Client(url, token=token, timeout_s=_TIMEOUT_S, max_retries=0) as client:
            yield client
    except NoAnswer as error:
        if not isinstance(error.__cause__, httpx.ConnectError):
            raise
        raise NoAnswer(f"{error}: {_advice(str(error))}") from error
    except Unauthenticated as error:
        raise Unauthenticated(
            f"{error}; give the command one with --token-file, or in STEPWIRE_TOKEN",
            code=error.code,
            status=error.status,
            problem=error.problem,
        ) from error


def _advice(why: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "its certificate is not trusted: name its authority's file in SSL_CERT_FILE"
    if "WRONG_VERSION_NUMBER" in why:
        return "it does not speak TLS: begin its address with http://"
    return (
        "start one with 'stepwire dev app.py' or 'stepwire gateway', or give its address with --url"
    )

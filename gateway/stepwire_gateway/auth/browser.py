"""What browsers tell about the page that makes them send a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastapi.middleware.cors import CORSMiddleware

from stepwire_core.settings import is_loopback, listed, normal_origin

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import ASGIApp

    from stepwire_core.settings import Settings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing, and a foreign page cannot read the answer (RFC 9110, section 9.2.1)."""


_HOST: Final = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?\Z", re.ASCII)


class Cors(CORSMiddleware):
    """Compares origins as browsers do: whatever their case, with or without the default port.

    Any header may be sent: what pages of these origins may do is said by their tokens, and tracing
    libraries add headers of their own (``traceparent``, ``baggage``).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        origins = {normal_origin(origin) or "" for origin in listed(settings.cors_origins)}
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("*",),
            allow_credentials=True,
            expose_headers=(
                *("Location", "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"),
                *("Retry-After", "WWW-Authenticate"),
                # By which clients of a face go on at the number of a chunk.
                *("x-workflow-run-id", "x-workflow-stream-tail-index"),
            ),
        )

        # Chromium asks for it from a public page to a private address. Starlette before 0.51 has no
        # such argument, and does not look at the question.
        self.allow_private_network = True

    def is_allowed_origin(self, origin: str) -> bool:
        return super().is_allowed_origin(normal_origin(origin) or "")


class Browsers:
    """Tells requests that a page of ours makes from those that a stranger's page makes.

    Browsers say it in ``Sec-Fetch-Site`` (to servers that they trust with it: https and loopback)
    and in ``Origin`` (with everything that is not safe). No page can change either.
    """

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(map(normal_origin, listed(settings.cors_origins)))
        self._hosts = frozenset(host.lower() for host in listed(settings.auth_open_hosts))
        self._may_listen_anywhere = settings.auth_open

    def acts_for_our_own_site(self, request: Request) -> bool:
        """Whether it changes nothing, or the browser says that it comes from a page of ours."""
        if request.method in SAFE_METHODS:
            return True
        if request.headers.get("sec-fetch-site") in ("same-origin", "none"):
            return True
        origin = normal_origin(request.headers.get("origin", ""))
        own = normal_origin(f"{request.url.scheme}://{request.headers.get('host', '')}")
        return origin is not None and (origin == own or origin in self._origins)

    def acts_for_another_site(self, request: Request) -> bool:
        """Whether a browser says so; other clients send neither header."""
        says = "origin" in request.headers or "sec-fetch-site" in request.headers
        return says and not self.acts_for_our_own_site(request)

    def is_our_name(self, request: Request) -> bool:
        """Whether we are called by a name that is known to be ours.

        A stranger can make a domain resolve to 127.0.0.1. For the browser the stranger's page and
        this gateway then have one origin, and only the name in ``Host`` reveals the difference.
        """
        server = request.scope.get("server")
        if not self._may_listen_anywhere and server and server[1] and not is_loopback(server[0]):
            # Served by something else than 'stepwire gateway', which would not have started.
            return False
        match = _HOST.match(request.headers.get("host", "").lower())
        return match is not None and (is_loopback(match[1]) or match[1] in self._hosts)

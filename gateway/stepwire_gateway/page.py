"""The inspector: one page, and the files that it loads, as inspector/build.py has made them."""

from __future__ import annotations

import mimetypes
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, FastAPI, Request
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from stepwire_core.errors import StepwireError
from stepwire_gateway.auth import guard

if TYPE_CHECKING:
    import os

    from starlette.types import Scope

_ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""Forms that are on the disk beside the file itself, the smallest first."""

# Built names have a hash of the content, so the same address never has other bytes.
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_FIRST: Final = "no-cache"

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    # Elements: their bytes are fetched with the token, and shown from memory.
    "worker-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; frame-src blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class PageMissing(StepwireError):
    """the inspector's page is not in this installation"""


def add(app: FastAPI) -> None:
    """Serve the page at the root, and its files below ``/inspector``.

    Raises:
        PageMissing: it was not built when the package was installed.
    """
    with as_file(files("stepwire_gateway")) as package:
        built = BuiltFiles(package)
    app.mount("/inspector", built, name="inspector")
    router = APIRouter(route_class=guard.GuardedRoute)

    @router.get("/", include_in_schema=False)
    @guard.needs_nothing
    async def inspector(request: Request) -> Response:
        response = await built.get_response("index.html", request.scope)
        response.headers.update(_PAGE_HEADERS)
        return response

    guard.include(app, router)


class BuiltFiles(StaticFiles):
    """Files that lie there compressed, too: a browser gets the form that it can read."""

    def __init__(self, package: Path) -> None:
        built = package / "inspector"
        try:
            self._version: Final = (built / "sources.sha256").read_text()[:16]
        except OSError:
            raise PageMissing(
                f"{PageMissing.__doc__} ({built}): in a source tree, run 'make inspector'; "
                "elsewhere, install the package again"
            ) from None
        super().__init__(directory=built)
        # What others than the page ask for.
        self.all_directories.append(package / "public")

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        path, request = Path(full_path), Headers(scope=scope)
        encoding = _encoding(path, request)
        headers = {
            "Cache-Control": _FOREVER if path.parent.name == "assets" else _ASK_FIRST,
            # Not the file's time, which an installer may set to that of another version.
            "ETag": f'"{self._version}-{encoding or "plain"}"',
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        sent = path
        if encoding is not None:
            headers["Content-Encoding"] = encoding
            sent = path.with_name(path.name + _ENCODINGS[encoding])
            stat_result = sent.stat()
        media_type = mimetypes.guess_type(path.name)[0]
        response = FileResponse(
            sent,
            status_code=status_code,
            headers=headers,
            media_type=media_type or "application/octet-stream",
            stat_result=stat_result,
        )
        if self.is_not_modified(response.headers, request):
            return NotModifiedResponse(response.headers)
        return response


def _encoding(path: Path, headers: Headers) -> str | None:
    """The form to send; RFC 9110, section 12.5.3, as far as browsers use it."""
    # A part of a compressed file is nothing that anybody asks for.
    if "range" in headers:
        return None
    accepted = {
        name.strip().lower()
        for name, _, weight in (
            word.partition(";") for word in headers.get("accept-encoding", "").split(",")
        )
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    }
    for encoding, suffix in _ENCODINGS.items():
        if encoding in accepted and path.with_name(path.name + suffix).exists():
            return encoding
    return None

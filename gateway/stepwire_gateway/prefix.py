"""The path under which the gateway stands: behind a proxy, or in another application."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("stepwire.gateway")

_OURS: Final = "/v1/sessions/"
"""So the addresses begin that are stored: workers do not know where gateways stand."""


class Prefix:
    """The path in front of all addresses that this gateway gives out; empty at the root.

    Stored documents have paths without it, since several gateways may serve one session. It is put
    in front when they are sent: a client can use an address as it gets it.
    """

    def __init__(self, setting: str | None) -> None:
        self.setting: Final = setting or ""
        self._path = quote(self.setting)

    def learn(self, root_path: str) -> None:
        """The server or the outer application says where it is; the setting, if there is one, wins:
        only a person knows what a proxy in front of both has taken away."""
        if self.setting or not root_path or self._path == quote(root_path):
            return
        if self._path:
            logger.warning(
                "the gateway is called under two paths, and gives out addresses with the first: "
                "make an app of its own for each",
                extra={"first": self._path, "second": quote(root_path)},
            )
            return
        self._path = quote(root_path)

    def removed_from(self, scope: Scope) -> str:
        """The path of a request without the prefix, before :class:`Prefixed` has looked at it."""
        path: str = scope["path"]
        root = scope.get("root_path", "").rstrip("/") or self.setting
        return path[len(root) :] if root and _is_under(root, path) else path

    def address(self, path: str) -> str:
        """A path of ours as clients ask for it; any other address stays as it is."""
        return self._path + path if path.startswith(_OURS) else path

    def element(self, document: bytes) -> bytes:
        """A stored element as clients get it."""
        if not self._path:
            return document
        try:
            element = json.loads(document)
            element["url"] = self.address(element["url"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # Of another form than ours: it goes out as it was stored.
            return document
        return json.dumps(element, ensure_ascii=False, separators=(",", ":")).encode()


class Prefixed:
    """Makes ``path`` and ``root_path`` of a request agree, and notes the latter.

    ``path`` begins with ``root_path`` afterwards (ASGI, HTTP connection scope), so a proxy may
    strip the prefix or not. It must be the outermost middleware.
    """

    def __init__(self, app: ASGIApp, prefix: Prefix) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # A server or an outer application that says it has the last word.
            root = scope.get("root_path", "").rstrip("/") or self._prefix.setting
            if root:
                scope = {**scope, "root_path": root}
                if not _is_under(root, scope["path"]):
                    scope["path"] = root + scope["path"]
                    if raw_path := scope.get("raw_path"):
                        scope["raw_path"] = quote(root).encode() + raw_path
                self._prefix.learn(root)
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path of a request without the prefix, as routes have it."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and _is_under(root, path) else path


def _is_under(root: str, path: str) -> bool:
    return path == root or path.startswith(f"{root}/")

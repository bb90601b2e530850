"""HTTP servers on loopback, in threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Runs a server while the block does; its origin."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """The output of a test is for what has failed."""


@contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """The files of a folder, as ``python -m http.server`` serves them; the origin."""
    handler = partial(_Quiet, directory=str(folder))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as origin:
        yield origin

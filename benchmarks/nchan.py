"""nginx with nchan and Redis storage: the peer that moves events in C."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from accounting import children
from stepwire_cli.dev.embedded_server import free_port

MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
"""Where Debian's libnginx-mod-nchan puts it."""

START_TIMEOUT_S: Final = 10.0

_CONFIGURATION: Final = """
load_module {module};
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream store {{ nchan_redis_server {redis}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/pub/([0-9a-z]+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_redis_pass store;
      nchan_message_buffer_length 2000;
      nchan_message_timeout 1h;
    }}
    location ~ ^/sub/([0-9a-z]+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_redis_pass store;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


def why_not() -> str:
    """Why it cannot be measured here; empty if it can."""
    if MODULE.exists() and _nginx() is not None:
        return ""
    return "no nginx with nchan here (Debian: apt-get install nginx libnginx-mod-nchan)"


@contextmanager
def nchan_server(redis_url: str) -> Iterator[tuple[int, Sequence[int]]]:
    """Its port, and its processes that serve; ``/pub/ID`` takes messages, ``/sub/ID`` streams them.

    It keeps as many messages of a channel as our log does.
    """
    program = _nginx()
    if program is None:
        raise RuntimeError("there is no nginx")
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        # Its worker is another user.
        folder.chmod(0o755)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                module=MODULE, folder=folder, port=port, redis=redis_url.removesuffix("/0")
            )
        )
        process = subprocess.Popen([program, "-c", configuration, "-p", folder])
        try:
            _wait(port, process)
            yield port, children(process.pid)
        finally:
            process.terminate()
            process.wait()


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and children(process.pid):
                return
        time.sleep(0.02)
    raise RuntimeError("nginx did not start")

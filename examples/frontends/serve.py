"""Serves the example pages, and starts the agent behind them: one command.

    python examples/frontends/serve.py                    then open the address that it prints
    python examples/frontends/serve.py --gateway URL      for a gateway that runs already

The pages use the client that is built in ``client/`` (``make client``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGENT = Path(__file__).with_name("agent.py")
GATEWAY_PORT = 8000
PAGES_PORT = 8090


def bundle() -> None:
    """The pages in React and Vue, as a browser takes them: with their libraries, without JSX."""
    subprocess.run(
        [
            ROOT / "client/node_modules/.bin/esbuild",
            ROOT / "examples/frontends/chat.jsx",
            ROOT / "examples/frontends/vue.js",
            "--bundle",
            "--format=esm",
            "--jsx=automatic",
            "--alias:stepwire=./dist/index.js",
            "--alias:stepwire/react=./dist/react.js",
            "--define:__VUE_OPTIONS_API__=false",
            "--define:__VUE_PROD_DEVTOOLS__=false",
            "--define:__VUE_PROD_HYDRATION_MISMATCH_DETAILS__=false",
            "--outdir=build",
            "--log-level=error",
        ],
        cwd=ROOT / "client",
        env=os.environ | {"NODE_PATH": str(ROOT / "client/node_modules")},
        check=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the address of a gateway that runs already")
    parser.add_argument("--port", type=int, default=PAGES_PORT, help="of the pages")
    parser.add_argument("--gateway-port", type=int, default=GATEWAY_PORT)
    asked = parser.parse_args()
    if not (ROOT / "client/dist/index.js").exists():
        sys.exit("The client is not built. Run `make client` first.")
    bundle()
    gateway = asked.gateway or f"http://127.0.0.1:{asked.gateway_port}"
    with ThreadingHTTPServer(
        ("127.0.0.1", asked.port), partial(SimpleHTTPRequestHandler, directory=ROOT)
    ) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        for page in ("plain", "vanilla", "react", "vue"):
            print(f"{origin}/examples/frontends/{page}.html?gateway={gateway}", flush=True)
        if asked.gateway:
            server.serve_forever()
            return
        env = os.environ | {"STEPWIRE_CORS_ORIGINS": origin}
        port = str(asked.gateway_port)
        command = [sys.executable, "-m", "stepwire_cli", "dev", "--port", port, str(AGENT)]
        with subprocess.Popen(command, env=env) as agent:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                agent.wait()


if __name__ == "__main__":
    main()

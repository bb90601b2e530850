"""Serves the example pages, and starts the agent behind them: one command.

    python examples/frontends/serve.py                    then open the address that it prints
    python examples/frontends/serve.py --gateway URL      for a gateway that runs already

The pages use the client that is built in ``client/`` (``make client``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "examples"))

from serving import options, serve  # noqa: E402 - it stands in the folder of all examples


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
    asked = options(__doc__, port=8090).parse_args()
    if not (ROOT / "client/dist/index.js").exists():
        sys.exit("The client is not built. Run `make client` first.")
    bundle()
    pages = ("plain", "vanilla", "react", "vue")
    serve(asked, ROOT, [f"examples/frontends/{page}.html" for page in pages])


if __name__ == "__main__":
    main()

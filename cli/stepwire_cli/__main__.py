"""Where the command ``stepwire`` begins, also on a machine that lacks what its commands need."""

from __future__ import annotations

import sys
from typing import Final

from stepwire_cli.extras import EXIT_CODE, missing


def main() -> None:
    """Run the command line; or say, in one line, what to install for it."""
    try:
        from stepwire_cli.main import main as commands
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        named = [name for name in sys.argv[1:2] if name in _EXTRAS]
        said = missing("the command line", error, named or _EXTRAS)
        print(f"Error: {said}", file=sys.stderr)
        sys.exit(EXIT_CODE)
    commands()


# Named like the commands that they are for.
_EXTRAS: Final = ("dev", "worker", "gateway")

if __name__ == "__main__":
    main()

"""Where the command ``stepwire`` begins, also on a machine that lacks what its commands need."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_SERVERS: Final = ("dev", "worker", "gateway")
"""Commands that run until they are told to stop: this is not a failure, at their beginning either.
The extras that they need are named like them."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run the command line; or say, in one line, what to install for it.

    From its first moment on the process ends when it is told to. As process 1 of a container it
    would otherwise ignore SIGTERM until its command has handlers of its own, which may be after the
    user's module has loaded a model.
    """
    is_server = sys.argv[1:2] and sys.argv[1] in _SERVERS
    for number in _SIGNALS if is_server else (signal.SIGTERM,):
        signal.signal(number, _leave if is_server else _die)
    try:
        _run()
    except KeyboardInterrupt:
        # While the modules were loaded; a command that runs says by itself what it means.
        sys.exit(128 + signal.SIGINT)


def _run() -> None:
    from stepwire_cli.extras import EXIT_CODE, missing
    from stepwire_core.process.loading import loading_modules

    try:
        with loading_modules():
            from stepwire_cli.main import main as commands
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        named = [name for name in sys.argv[1:2] if name in _SERVERS]
        said = missing("the command line", error, named or _SERVERS)
        print(f"Error: {said}", file=sys.stderr)
        sys.exit(EXIT_CODE)
    commands()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    # Not through the log, or print: what was interrupted may hold their locks.
    os.write(2, b"told to stop before it was ready\n")
    sys.exit(0)


def _die(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()

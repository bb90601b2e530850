"""What to say when a command's packages are not installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from stepwire_core.errors import SettingsError
from stepwire_core.process.loading import loading_modules

EXIT_CODE: Final = 2
"""As of any command that was not called as it must be."""


class MissingExtra(SettingsError):
    """A command needs a package that is not installed; the message says how to install it."""


def missing(what: str, error: ModuleNotFoundError, extras: Sequence[str]) -> str:
    """What to tell a person: what is missing, and each extra that brings it."""
    lines = " or ".join(f"pip install 'stepwire[{extra}]'" for extra in extras)
    return f"{what} needs {error.name!r}: {lines}"


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Load the modules of a command; turn a missing package into the line that installs it.

    Raises:
        MissingExtra: an import inside the block failed.
    """
    try:
        with loading_modules():
            yield
    except ModuleNotFoundError as error:
        raise MissingExtra(missing("this command", error, (extra,))) from error

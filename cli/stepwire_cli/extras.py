"""What to say when a command's packages are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stepwire_core.errors import SettingsError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing package into the line that installs it.

    Raises:
        SettingsError: an import inside the block failed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"this command needs {error.name!r}: pip install 'stepwire[{extra}]'"
        ) from error

"""A folder on this machine's disk, for as long as a handler needs the files in it."""

from __future__ import annotations

import tempfile
from pathlib import Path


class FileFolder:
    """A folder that is made with the first file."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def path(self, name: str) -> Path:
        """Where a file of that name goes."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(
                prefix="stepwire-", ignore_cleanup_errors=True
            )
        return Path(self._folder.name, name)

    def close(self) -> None:
        """Delete the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

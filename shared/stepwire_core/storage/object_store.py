"""Object storage for elements that are too large for Redis: S3, and what speaks its API.

The only module that talks to obstore. Objects lie at ``<prefix>/<folder>/<element>``; a session's
folder is what :func:`stepwire_core.redis.keys.object_folder` says. They are deleted with their
element or step; those of a session that has expired are left to a lifecycle rule of the bucket,
since nobody is told when Redis lets a session go.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Final

from stepwire_core.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import S3Store

    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.objects")

PIECE_BYTES: Final = 4 * 1024 * 1024
"""Read in one request. Each piece is a request of its own, so that a slow reader holds no
connection open, and no time limit of the storage runs while it reads."""

UPLOAD_CONCURRENCY: Final = 2
"""Parts of 5 MiB that are under way, and in memory, for one upload."""

_RETRY_S: Final = 30
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class Objects:
    """A bucket; any method may be called from any thread or loop.

    Every method raises :class:`StoreUnavailable` when the storage refuses or does not answer.
    """

    def __init__(self, store: S3Store) -> None:
        self._store = store

    @classmethod
    def open(cls, settings: Settings) -> Objects | None:
        """What ``STEPWIRE_ELEMENTS_URL`` names, or None; nothing is asked of it yet.

        Endpoint, region and credentials come from the environment: ``AWS_ENDPOINT_URL``,
        ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and the others that obstore
        reads.

        Raises:
            SettingsError: obstore is not installed, or cannot use what the variables say.
        """
        if settings.elements_url is None:
            return None
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError as error:
            raise SettingsError(
                f"STEPWIRE_ELEMENTS_URL={settings.elements_url!r} needs obstore: "
                "pip install 'stepwire[s3]', or unset it"
            ) from error
        endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), "")
        try:
            store = S3Store.from_url(
                settings.elements_url,
                # An endpoint that is spelt http:// is meant so: a server on one's own network.
                client_options={"allow_http": endpoint.startswith("http://")},
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=_RETRY_S)},
            )
        except (BaseError, ValueError) as error:
            raise SettingsError(
                f"STEPWIRE_ELEMENTS_URL={settings.elements_url!r}: {_first_line(error)}"
            ) from error
        return cls(store)

    def put(self, folder: str, element_id: str, file: IO[bytes]) -> None:
        """Store a file, in parts if it is large; it is there as a whole or not at all."""
        import obstore

        with _translated():
            obstore.put(
                self._store,
                _path(folder, element_id),
                file,
                max_concurrency=UPLOAD_CONCURRENCY,
            )

    async def put_stream(self, folder: str, element_id: str, chunks: AsyncIterator[bytes]) -> None:
        """The same from a stream. What the stream raises is raised, and nothing is stored."""
        import obstore

        with _translated():
            await obstore.put_async(
                self._store,
                _path(folder, element_id),
                chunks,
                max_concurrency=UPLOAD_CONCURRENCY,
            )

    async def read(
        self, folder: str, element_id: str, start: int, stop: int
    ) -> AsyncIterator[bytes] | None:
        """The bytes from ``start`` up to ``stop``, in pieces; None if the object does not exist."""
        try:
            first = await self._piece(folder, element_id, start, stop)
        except FileNotFoundError:
            return None
        return self._pieces(first, folder, element_id, start, stop)

    async def _pieces(
        self, first: bytes, folder: str, element_id: str, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        yield first
        for place in range(start + PIECE_BYTES, stop, PIECE_BYTES):
            yield await self._piece(folder, element_id, place, stop)

    async def _piece(self, folder: str, element_id: str, start: int, stop: int) -> bytes:
        import obstore

        with _translated(missing=FileNotFoundError):
            piece = await obstore.get_range_async(
                self._store,
                _path(folder, element_id),
                start=start,
                end=min(stop, start + PIECE_BYTES),
            )
        return bytes(piece)

    def save(self, folder: str, element_id: str, file: IO[bytes]) -> bool:
        """Write an object into a file; False if the object does not exist."""
        import obstore

        try:
            with _translated(missing=FileNotFoundError):
                for piece in obstore.get(self._store, _path(folder, element_id)):
                    file.write(piece)
        except FileNotFoundError:
            return False
        return True

    def remove(self, folder: str, element_ids: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        import obstore

        if element_ids:
            with _translated():
                obstore.delete(self._store, [_path(folder, id_) for id_ in element_ids])

    def remove_folder(self, folder: str) -> None:
        """Delete what is in a folder, and nothing of the folders in it: those are of others."""
        import obstore

        with _translated():
            found = obstore.list_with_delimiter(self._store, f"{folder}/")["objects"]
            obstore.delete(self._store, [item["path"] for item in found])


def _path(folder: str, element_id: str) -> str:
    return f"{folder}/{element_id}"


@contextmanager
def _translated(*, missing: type[Exception] | None = None) -> Iterator[None]:
    """Turn the storage's errors into ours; ``missing`` is left as it is."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        if missing is not None and isinstance(error, missing):
            raise
        # Its text has addresses and the server's answer: for the log, not for clients.
        logger.warning("object storage failed", extra={"error": _first_line(error)})
        raise StoreUnavailable(
            "the storage of large elements (STEPWIRE_ELEMENTS_URL) failed: "
            f"{type(error).__name__}; its log line has the details"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")

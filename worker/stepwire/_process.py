"""The publisher of this process: one, made when it is first needed."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepwire._publisher import Publisher
from stepwire_core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Process:
    """Remembers the publisher, and that a forked child must not use its parent's."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.publisher: Publisher | None = None

    def get(self) -> Publisher:
        with self.lock:
            if self.publisher is None:
                self.publisher = Publisher(load_settings())
                atexit.register(self.publisher.close)
            return self.publisher

    def forget(self) -> None:
        """In a forked child: the parent's thread and connection have stayed with the parent."""
        self.lock = threading.Lock()
        if self.publisher is not None:
            self.publisher.orphan()
            self.publisher = None


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)


def process_publisher() -> Publisher:
    """The publisher that everything in this process shares; settings come from the environment.

    Raises:
        SettingsError: a setting has a wrong value.
    """
    return _process.get()


@contextmanager
def used_as_process_publisher(publisher: Publisher) -> Iterator[None]:
    """Let this one be it while the block runs, as a worker does with its own."""
    before, _process.publisher = _process.publisher, publisher
    try:
        yield
    finally:
        _process.publisher = before

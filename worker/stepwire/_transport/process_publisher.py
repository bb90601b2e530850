"""The publisher of this process: one, made when it is first needed."""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepwire_core.process.loading import loading_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepwire._transport.publisher import Publisher
    from stepwire_core.tracing.span_export import SpanExport


class _Process:
    """Remembers the publisher, and that a forked child must not use its parent's."""

    def __init__(self) -> None:
        # No lock: a finaliser may come here, also in the middle of another caller's first time.
        self._one: dict[str, Publisher] = {}

    def get(self) -> Publisher:
        publisher = self._one.get("it")
        if publisher is not None:
            return publisher
        # Here and by the publisher, so that `import stepwire` loads neither what stores events, nor
        # settings, nor Redis.
        with loading_modules():
            from stepwire._transport.publisher import Publisher
            from stepwire_core.settings import load_settings

            made = Publisher(load_settings())
        publisher = self._one.setdefault("it", made)
        if publisher is made:
            atexit.register(made.close)
        else:
            made.close()
        return publisher

    def known(self) -> Publisher | None:
        """The publisher, if there is one."""
        return self._one.get("it")

    def exchange(self, publisher: Publisher | None) -> Publisher | None:
        """Use that one; the one that was used before."""
        before = self._one.pop("it", None)
        if publisher is not None:
            self._one["it"] = publisher
        return before

    def forget(self) -> None:
        """In a forked child: the parent's thread and connection have stayed with the parent."""
        if (publisher := self.exchange(None)) is not None:
            publisher.orphan()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)


def process_publisher() -> Publisher:
    """The publisher that everything in this process shares; settings come from the environment.

    Raises:
        SettingsError: a setting has a wrong value.
    """
    return _process.get()


def process_spans() -> SpanExport | None:
    """The export of this process's spans; None: it has none, or no publisher yet."""
    publisher = _process.known()
    return None if publisher is None else publisher.spans


@contextmanager
def used_as_process_publisher(publisher: Publisher) -> Iterator[None]:
    """Let this one be it while the block runs, as a worker does with its own."""
    before = _process.exchange(publisher)
    try:
        yield
    finally:
        _process.exchange(before)

"""Loading modules: what is done once, and only makes what stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_modules() -> Iterator[None]:
    """No garbage is collected by itself while the block loads modules.

    What modules make stays, so each collection looks through all of it in vain: that is a sixth of
    the time in which a gateway loads its own. And a finaliser that emits, which a collection may
    call anywhere, does not meet modules that are only half loaded.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep_what_is_loaded() -> None:
    """Keep all current objects for good: no later collection looks at them (``gc.freeze``).

    For a process of ours, before it serves. Without it the first collections look at all modules,
    and each holds up the runs that begin just then by some 15 ms.
    """
    gc.freeze()

"""Calls of models that are around the running code, where a library's own context does not tell.

LangChain's does not: a model's run is in no context variable while the model is called. But who is
about to begin one says so in the context that the model is called in, whatever task or thread the
callbacks of the run come in: they have a copy, and in it the same list.
"""

from __future__ import annotations

from contextvars import ContextVar

_begun: ContextVar[list[object] | None] = ContextVar("stepwire_model_calls", default=None)


def expect() -> None:
    """Calls may be about to begin, here or in a copy of this context."""
    _begun.set([])


def add(step: object) -> None:
    """One has begun, which this step shows."""
    steps = _begun.get()
    if steps is not None:
        steps.append(step)


def the_only_one() -> object | None:
    """The step of the call that began; of several, none can be told to be the one that runs.

    It may be over. And it may be a stream whose reader is what runs now: good for telling that a
    call is the same, not for placing steps.
    """
    steps = _begun.get()
    return steps[0] if steps is not None and len(steps) == 1 else None

"""Results of steps that later attempts of their run have, instead of doing the work again."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from stepwire._transport.threads import in_thread
from stepwire_core.errors import InvalidArgument, StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_core.values.json_values import encoded
from stepwire_core.values.text import is_whole, require_size
from stepwire_core.wire.events import step_result_event

if TYPE_CHECKING:
    from stepwire._scope.call_numbers import CallNumbers
    from stepwire._scope.context import Scope
    from stepwire._transport.producer import Producer
    from stepwire_core.wire.events import NewEvent

logger = logging.getLogger("stepwire.durable")

MAX_KEY_CHARS: Final = 1_000


def step_key(value: object, _name: str, _noun: str) -> str | None:
    """Checks the key of a step."""
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= MAX_KEY_CHARS and is_whole(value):
        return value
    raise InvalidArgument(
        f"the key of a step is text of 1 to {MAX_KEY_CHARS:,} characters, without halves of "
        f"surrogate pairs, or None; not {value!r:.100}"
    )


def result_text(what: str, value: object, limit: int | None) -> str:
    """A result as JSON, which is all that another process can have.

    Raises:
        InvalidArgument: it is not JSON.
        ValueTooLarge: it has more than ``limit`` bytes; None: that is not known yet.
    """
    try:
        text = encoded(value)
    except Exception as error:
        raise InvalidArgument(
            f"the result of the durable step {what!r} is stored for later attempts, so it must be "
            f"JSON: {error}. Return what can be stored, such as model.model_dump(mode='json')"
        ) from error
    if limit is not None:
        require_result_size(what, text, limit)
    return text


def require_result_size(what: str, text: str, limit: int) -> None:
    """Return when a result has at most ``limit`` bytes.

    Raises:
        ValueTooLarge: it has more.
    """
    require_size(f"the result of the durable step {what!r}", text, limit)


@dataclass(frozen=True, slots=True)
class Kept:
    """The result that an earlier attempt has stored."""

    attempt: int
    value: Any


class DurableCall:
    """One call of a durable step in this attempt: its name in the store, which the same call has in
    every attempt of the run."""

    def __init__(self, producer: Producer, numbers: CallNumbers, call: str) -> None:
        self._producer = producer
        self._numbers = numbers
        self._call = sha256(call.encode()).hexdigest()[:32]
        self._number = numbers.take(self._call)

    @classmethod
    def in_run(cls, scope: Scope, call: str) -> DurableCall | None:
        """None outside of runs, where nothing is tried again."""
        if scope.run is None or not scope.run_id:
            return None
        return cls(scope.producer, scope.run.durable, call)

    @property
    def _name(self) -> str:
        return f"{self._call}:{self._number}"

    async def find(self) -> Kept | None:
        """The result that an earlier attempt has stored for this call, or None.

        Raises: as :meth:`find_sync`.
        """
        # The first attempt has none before it, and asks for nothing.
        return await in_thread(self.find_sync) if self._producer.attempt > 1 else None

    def find_sync(self) -> Kept | None:
        """The same, for code without an event loop.

        Raises:
            StoreUnavailable: Redis was away for ``STEPWIRE_PUBLISH_TIMEOUT_S``.
            StoreRefused: it refuses until its set-up is changed.
        """
        producer = self._producer
        if producer.attempt == 1:
            return None
        delays, deadline = Backoff(), time.monotonic() + producer.settings.publish_timeout_s
        while True:
            try:
                stored = producer.step_result(self._name)
                break
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(delays.next_s())
        if stored is None:
            return None
        try:
            kept = json.loads(stored)
            return Kept(int(kept["attempt"]), kept["value"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning(
                "the stored result of a step cannot be read: the step runs again",
                extra={"run_id": producer.run_id, "error": str(error)},
            )
            return None

    def event(self, text: str) -> NewEvent:
        """Stores a result, given as JSON; a later attempt cannot have it twice."""
        kept = f'{{"attempt":{self._producer.attempt},"value":{text}}}'
        return step_result_event(self._name, kept)

    def give_back(self) -> None:
        """It has kept nothing; the next call like it may."""
        self._numbers.give_back(self._call, self._number)

"""Work whose result later attempts of its run have: the key, the result, and when it is stored."""

from __future__ import annotations

import json
from types import NoneType
from typing import TYPE_CHECKING, Any

from stepwire._scope.context import current_frame
from stepwire._tree.durable import DurableCall, require_result_size, result_text, step_key
from stepwire._tree.measured_work import MeasuredWork
from stepwire._values.attributes import Checked
from stepwire_core.errors import InvalidArgument

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire._tree.durable import Kept
    from stepwire_core.wire.events import NewEvent


class DurableWork(MeasuredWork):
    """Work that is done once, if it has a key: what it has come to is stored with its end."""

    key: Checked[str | None, str | None] = Checked(step_key, NoneType, default=None)

    # On the class, as those of :class:`MeasuredWork`.
    _durable: DurableCall | None = None
    _result: Any = None
    _result_text: str | None = None
    _from_attempt: int | None = None

    @property
    def is_reused(self) -> bool:
        """Whether :attr:`result` is what an earlier attempt of the run has stored for this step."""
        return self._from_attempt is not None

    @property
    def result(self) -> Any:
        """The result of the work; if the step has a key, a later attempt of the run has it, too.

        Assign it inside the block, when it is complete: it is stored as it is then, when the block
        ends well. It must be JSON, of ``STEPWIRE_MAX_EVENT_BYTES`` at most. A value that JSON
        changes, such as a tuple, which becomes a list, is changed here, too. It is shown as the
        output, unless that is set.

        Raises:
            InvalidArgument: when assigned: it is not JSON, or too large (``ValueTooLarge``), or the
                step has no key.
        """
        return self._result

    @result.setter
    def result(self, value: object) -> None:
        if self._stored_as is None:
            raise InvalidArgument(
                f"step {self.name!r} has no key to store a result under: cl.Step(…, key='…'), or "
                "@cl.step(durable=True)"
            )
        scope = self._scope
        limit = None if scope is None else scope.producer.settings.max_event_bytes
        text = result_text(self.name, value, limit)
        again = json.loads(text)
        if self.is_reused:
            # The work was done once more.
            self._from_attempt = None
            self._set("output", "")
        self._result, self._result_text = (value if again == value else again), text

    @property
    def _stored_as(self) -> str | None:
        """The key that tells its work from other work of the run; None: no result is stored."""
        return self.key

    def _call(self) -> DurableCall | None:
        """Which call of its kind this one is in the run, if its result is to be stored."""
        if self._stored_as is None:
            return None
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        if self._result_text is not None:
            # It was assigned before the block, when the limit was not known.
            require_result_size(
                self.name, self._result_text, scope.producer.settings.max_event_bytes
            )
        self._durable = DurableCall.in_run(scope, self._stored_as)
        return self._durable

    def _reuse(self, kept: Kept | None) -> None:
        if kept is not None:
            self._result, self._from_attempt = kept.value, kept.attempt
            self._show_result()

    def _show_result(self) -> None:
        if self._result is not None and not self._get("output"):
            language = self._set("output", self._result)
            self.language = self.language or language

    def _results(self, exc: BaseException | None) -> list[NewEvent]:
        """The events that store its result, now that it has ended."""
        if self._durable is None or self.is_reused:
            return []
        if exc is not None or self._result_text is None:
            self._give_back()
            return []
        return [self._durable.event(self._result_text)]

    def _give_back(self) -> None:
        durable, self._durable = self._durable, None
        if durable is not None:
            durable.give_back()

    def _fields(self, scope: Scope, started_at: str) -> dict[str, Any]:
        fields = super()._fields(scope, started_at)
        if self._from_attempt is not None:
            fields["from_attempt"] = self._from_attempt
        return fields

    @property
    def _has_stored(self) -> bool:
        """Whether its block has ended with a result: what comes next may rely on it."""
        return self._durable is not None and not self.is_reused

"""Work that says how far it is, and what it has used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from stepwire._transport.append_call import ProgressUpdate
from stepwire._tree.node import Node
from stepwire._values.progress import progress_of
from stepwire._values.usage import usage_of
from stepwire_core.values.clock import now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import Progress, Usage
    from stepwire_core.wire.events import NewEvent


class MeasuredWork(Node):
    """Work that can be measured while it is done."""

    # On the class: steps are made by thousands, and most say neither.
    _usage: Usage | None = None
    _progress: Progress | None = None

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Say how far it is: users see it at once, as a bar.

        Call it as often as you like, from synchronous code and threads too: an update that was not
        yet sent is replaced. It never waits; while the process's buffer is full, the progress is
        shown with the next event of the step.

        Args:
            done: How much is done, in whatever is counted.
            total: How much there is; None: that is not known. More may be done than there is.
            text: What it does now, in a few words.

        Raises:
            InvalidArgument: a value is not a number, or is negative; the text is not a string.
            RunFenced, RunEnded, SessionNotFound, SessionFull, StoreUnavailable: nothing more can be
                stored.
        """
        progress = progress_of(done, total, text)
        if progress == self._progress:
            return
        self._progress = progress
        scope = self._scope
        if scope is None:
            # It is shown when it is sent.
            return
        producer = scope.producer
        if producer.replace_progress(self.id, progress.model_dump_json(), now()):
            return
        if producer.must_wait:
            return
        self._send_progress(scope)

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost: float | Decimal | None = None,
        model: str | None = None,
    ) -> None:
        """Say what it has used so far, itself and without the steps below it.

        Users see it when it ends, or after :meth:`update`. The run and the session have the sums of
        their steps, in which each step counts with what it has said last. Never waits.

        Args:
            input_tokens: Tokens that a model has read; what is None stays as it was said before.
            output_tokens: Tokens that it has written.
            cost: In a currency that is the same for all of your steps.
            model: Its name.

        Raises:
            InvalidArgument: a value is not a number, or is negative; the model is not a string.
        """
        self._usage = usage_of(self._usage, input_tokens, output_tokens, cost, model)

    def _send_progress(self, scope: Scope) -> None:
        is_taken = False
        while not is_taken:
            over_at, ts = self._over_at, now()
            fields = self._fields(scope, self.started_at or ts)
            progress = fields.pop("progress", None)
            update = ProgressUpdate.of(
                self.id,
                self.parent_id,
                self._written(fields, ts),
                "null" if progress is None else progress.to_json(),
                ts,
            )
            # If it was ended meanwhile, this would show it as running for ever.
            is_current = partial(self._is_over_since, over_at)
            is_taken = scope.producer.put_progress(update, is_current)

    def _fields(self, scope: Scope, started_at: str) -> dict[str, Any]:
        fields = super()._fields(scope, started_at)
        if self._usage is not None:
            fields["usage"] = self._usage
        if self._progress is not None:
            fields["progress"] = self._progress
        return fields

    def _is_over_since(self, over_at: str | None) -> bool:
        return self._over_at == over_at

    def _sums(self, scope: Scope) -> Sequence[NewEvent]:
        if self._usage is None or scope.run is None:
            return ()
        return scope.run.usage.take(self.id, self._usage)

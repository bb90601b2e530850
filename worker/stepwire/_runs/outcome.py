"""How an attempt of a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.words import EndStatus

if TYPE_CHECKING:
    import asyncio

    from pydantic import JsonValue

    from stepwire_core.errors import SessionFull


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended."""

    status: EndStatus
    error: ErrorInfo | None = None
    stopped: asyncio.CancelledError | None = None
    """The worker is stopping: another one may try again, and the cancellation has to go on."""
    cause: BaseException | None = None
    """What may be worth another attempt."""
    result: JsonValue = None
    is_replayable: bool = True
    """Whether doing the same again may end better."""

    @property
    def status_for_open_steps(self) -> EndStatus:
        """The status of the steps that the handler left open."""
        return "interrupted" if self.status == "error" else self.status

    def with_losses(self, full: SessionFull | None) -> Ending:
        """The end of a run whose session refused some of what it sent: it did not go well."""
        if full is None or self.status != "ok":
            return self
        return Ending("error", ErrorInfo.of(full))


FAULT: Final = ErrorInfo(
    type="InternalError",
    message="a fault in stepwire has ended this run; the log of its worker says which",
)

CANCELLED: Final = Ending("cancelled")

BUSY: Final = Ending(
    "error",
    ErrorInfo(
        type="Busy",
        message="another message is being answered; send this one again when that is done",
    ),
    is_replayable=False,
)


class RetryLater(Exception):
    """The attempt has ended, and the next one is due in ``after_s`` seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s

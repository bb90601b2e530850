"""The policy for runs that fail, take too long, or arrive while another is under way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict, TypeGuard, get_args

from stepwire_core.errors import InvalidArgument, StepwireError

Concurrency = Literal["queue", "parallel", "reject", "interrupt"]

LONGEST_BACKOFF_S: Final = 300.0


def is_seconds(value: object) -> TypeGuard[float]:
    """Whether it is a number that a clock can count."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Retry(StepwireError):
    """Raise this in a handler to have its run tried again: ``raise cl.Retry(after=30)``.

    The attempt ends as an error with ``will_retry``, and the next one begins ``after`` seconds
    later, on whatever worker is free. It counts: after the last of the handler's ``max_attempts``
    the run has failed.
    """

    def __init__(
        self, after: float = 0.0, reason: str = "the handler asked to be tried again"
    ) -> None:
        if not is_seconds(after) or after < 0:
            raise InvalidArgument(f"Retry takes the seconds to wait, 0 or more, not {after!r}")
        self.after: float = float(after)
        super().__init__(reason)


class RunOptions(TypedDict, total=False):
    """What handlers may say about their runs."""

    max_attempts: int
    retry_on: type[Exception] | Sequence[type[Exception]]
    backoff_s: float
    timeout_s: float
    max_running: int


@dataclass(frozen=True, slots=True)
class Policy:
    """How the runs of one handler are treated.

    ``max_attempts`` counts every attempt, whether it failed or lost its worker; None stands for
    ``STEPWIRE_MAX_ATTEMPTS``. Of errors, only those in ``retry_on`` and :class:`Retry` are worth
    another attempt, ``backoff_s`` seconds later, then twice as long each time. Of one handler, at
    most ``max_running`` runs are executed at a time, by all workers together.
    """

    max_attempts: int | None = None
    retry_on: tuple[type[Exception], ...] = ()
    backoff_s: float = 1.0
    timeout_s: float | None = None
    max_running: int | None = None
    concurrency: Concurrency = "queue"

    @classmethod
    def of(cls, options: RunOptions, concurrency: object = "queue") -> Policy:
        """The policy that a decorator describes.

        Raises:
            InvalidArgument: a value makes no sense.
        """
        if concurrency not in get_args(Concurrency):
            raise InvalidArgument(
                f"concurrency {concurrency!r} is not known: "
                f"give one of {', '.join(get_args(Concurrency))}"
            )
        if unknown := sorted(options.keys() - RunOptions.__annotations__.keys()):
            raise InvalidArgument(
                f"{', '.join(unknown)}: not an option of a handler, which takes "
                f"{', '.join(RunOptions.__annotations__)}"
            )
        for name in ("max_attempts", "max_running"):
            count = options.get(name)
            if count is not None and (
                not isinstance(count, int) or isinstance(count, bool) or count < 1
            ):
                raise InvalidArgument(f"{name} is a number, 1 or more, not {count!r}")
        for name, least in (("backoff_s", 0.0), ("timeout_s", 0.001)):
            value = options.get(name, 1.0)
            if not is_seconds(value) or value < least:
                raise InvalidArgument(f"{name} is a number of seconds, not {value!r}")
        return cls(
            max_attempts=options.get("max_attempts"),
            retry_on=_checked_errors(options.get("retry_on", ())),
            backoff_s=float(options.get("backoff_s", 1.0)),
            timeout_s=options.get("timeout_s"),
            max_running=options.get("max_running"),
            concurrency=concurrency,  # type: ignore[arg-type]
        )

    def delay_s(self, error: BaseException, attempt: int) -> float | None:
        """How long to wait before the next attempt; None: the error is not worth one."""
        if isinstance(error, Retry):
            return error.after
        if isinstance(error, self.retry_on):
            return min(self.backoff_s * 2.0 ** min(attempt - 1, 32), LONGEST_BACKOFF_S)
        return None


def _checked_errors(errors: object) -> tuple[type[Exception], ...]:
    listed = (errors,) if isinstance(errors, type) else errors
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise InvalidArgument(f"retry_on takes exception classes, not {errors!r}")
    for error in listed:
        if not (isinstance(error, type) and issubclass(error, Exception)):
            raise InvalidArgument(f"retry_on takes exception classes, not {error!r}")
    return tuple(listed)

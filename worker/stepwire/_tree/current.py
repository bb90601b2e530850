"""What runs now: ``cl.context``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from stepwire._scope.context import current_frame, innermost, own_frame

if TYPE_CHECKING:
    from stepwire._tree.step import Step


@dataclass(frozen=True, slots=True)
class Session:
    """The session that the running code belongs to."""

    id: str


class Context:
    """What runs now: ``cl.context``."""

    @property
    def session(self) -> Session:
        """The current session.

        Raises:
            NoActiveSession: outside any handler.
        """
        return Session(current_frame("context.session").scope.session_id)

    @property
    def run_id(self) -> str | None:
        """The current run; None for code that emits into a session without one.

        Raises:
            NoActiveSession: outside any handler.
        """
        return current_frame("context.run_id").scope.run_id or None

    @property
    def current_step(self) -> Step | None:
        """The innermost step around the running code, or None."""
        frame = own_frame()
        # Only steps are entered.
        return None if frame is None else cast("Step | None", innermost(frame).step)


context: Context = Context()
"""Where the running code stands: the session, the run, the step around it."""

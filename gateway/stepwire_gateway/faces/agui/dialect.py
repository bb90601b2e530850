"""The differences between clients of AG-UI, by their versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from stepwire_gateway.faces.agui.conversation import ACTIVITY


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences between the versions of the protocol, as its published clients read it."""

    version: str | None
    """What ``RUN_STARTED`` says; None for clients that know no version."""
    has_subagents: bool
    """Whether steps are ``SUBAGENT_*``; else they are ``STEP_*`` with unique names."""
    cancelled: Literal["outcome", "error", "success"]
    """How a run that was cancelled ends: older clients refuse an outcome that they do not know."""
    has_parts: bool
    """Whether the content of a person's message may have parts of several types."""
    reopens: bool
    """Whether ``TOOL_CALL_START`` of a call that the client has goes on with it. In clients up to
    0.0.58 it adds a second one."""

    @property
    def complete(self) -> dict[str, Any]:
        """What says of a ``MESSAGES_SNAPSHOT`` that activities which are not in it are gone; else a
        client keeps them if there is none at all. 0.0.59 does so in any case."""
        if self.version is None:
            return {}
        return {"metadata": {"@ag-ui/client": {"authoritativeActivityTypes": [ACTIVITY]}}}


V1: Final = Dialect("1.0", True, "outcome", True, True)

OLDER: Final = Dialect(None, False, "error", False, False)
"""Of a caller that tells no version: what clients since 0.0.45 take."""

COPILOTKIT: Final = Dialect(None, False, "success", True, True)
"""Of CopilotKit's client, on 0.0.59: its own runtime ends a stopped run as a finished one."""


def dialect_of(version: str | None, otherwise: Dialect) -> Dialect:
    """That of a caller who declares a version: 1.0 or later, of which the client strips what it
    does not know. Only those declare one."""
    return otherwise if version is None else V1

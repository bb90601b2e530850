"""The words of the protocol: statuses, kinds, the names of handlers and of values.

They stand beside no model: what only names something does not load pydantic.
"""

from __future__ import annotations

from typing import Final, Literal

PROTOCOL_VERSION: Final = 1

StepStatus = Literal["running", "ok", "error", "cancelled", "interrupted"]
"""``interrupted``: the process of the step died or was stopped before the step ended."""

EndStatus = Literal["ok", "error", "cancelled", "interrupted"]

TextField = Literal["output", "input"]

ElementDisplay = Literal["inline", "side", "page"]
"""Where an element is shown: in its step, beside the conversation, or on a page of its own."""

AskKind = Literal["text", "action", "file", "element"]

AskStatus = Literal["open", "answered", "timeout", "cancelled", "interrupted"]

ON_CHAT_START: Final = "on_chat_start"
ON_CHAT_RESUME: Final = "on_chat_resume"
ON_CHAT_END: Final = "on_chat_end"
ON_MESSAGE: Final = "on_message"
ON_STOP: Final = "on_stop"
ON_FEEDBACK: Final = "on_feedback"
ON_SETTINGS_UPDATE: Final = "on_settings_update"
ON_SETTINGS_EDIT: Final = "on_settings_edit"
START_PAGE: Final = "start:page"
"""Not a function of the user's, but those that say what a page offers before there is a session."""
EVENT_HANDLERS: Final = frozenset(
    {
        *(ON_CHAT_START, ON_CHAT_RESUME, ON_CHAT_END, ON_MESSAGE, ON_STOP, ON_FEEDBACK),
        *(ON_SETTINGS_UPDATE, ON_SETTINGS_EDIT, START_PAGE),
    }
)
"""Handlers that are called for what happens in a session, or before there is one."""

CHAT_SETTINGS: Final = "chat_settings"
CHAT_PROFILE: Final = "chat_profile"
"""Values of the user session that a person chooses: handlers read them, and cannot set them."""

_ACTION: Final = "action:"


def action_handler(name: str) -> str:
    """The handler of clicks on actions of that name."""
    return f"{_ACTION}{name}"


def is_action(handler: str) -> bool:
    """Whether it is that of an action."""
    return handler.startswith(_ACTION)


def is_event_handler(handler: str) -> bool:
    """Whether it is called for what happens in a session, and is not the name of a task."""
    return handler in EVENT_HANDLERS or is_action(handler)


IN_TURN: Final = frozenset({ON_CHAT_START, ON_CHAT_RESUME, ON_MESSAGE, ON_SETTINGS_UPDATE})
"""Handlers whose runs wait for each other, in the order in which they were requested."""

REPLACES: Final = "replaces"
"""In the metadata of a message: the id of the one that the person has changed. The conversation
goes on from there, as if neither that one nor what came after it had been said."""

OPTIONAL_HANDLERS: Final = frozenset(
    {
        *(ON_CHAT_START, ON_CHAT_RESUME, ON_CHAT_END, ON_FEEDBACK),
        *(ON_SETTINGS_UPDATE, ON_SETTINGS_EDIT),
    }
)
"""Handlers that an application may leave out; a run of such a handler then does nothing."""

MAX_ERROR_CHARS: Final = 10_000
"""Of what an error says: the end of a run is stored even where the session is full."""

MAX_GROUP_DEPTH: Final = 5
"""Groups of exceptions inside each other whose parts are named."""

MAX_GROUP_PARTS: Final = 20
"""Exceptions of a group that are named."""

USER_MESSAGE: Final = "user_message"
ASSISTANT_MESSAGE: Final = "assistant_message"

COST_DIGITS: Final = 10
"""Of a cost, behind the point."""

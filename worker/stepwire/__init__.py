"""Live, nested steps of LLM agents in background workers: ``import stepwire as cl``."""

import typing

from stepwire import input_widget
from stepwire._asking.ask_user import (
    AskActionMessage,
    AskElementMessage,
    AskFileMessage,
    AskFileResponse,
    AskUserMessage,
)
from stepwire._decorating.decorator import step
from stepwire._elements.element_base import Element
from stepwire._elements.element_types import (
    Audio,
    Dataframe,
    File,
    Image,
    Json,
    Pdf,
    Plotly,
    Pyplot,
    Text,
    Video,
)
from stepwire._handlers.policy import Retry
from stepwire._handlers.registry import (
    Feedback,
    action_callback,
    author_rename,
    on_app_shutdown,
    on_app_startup,
    on_chat_end,
    on_chat_resume,
    on_chat_start,
    on_feedback,
    on_message,
    on_settings_edit,
    on_settings_update,
    on_stop,
    set_chat_profiles,
    set_starter_categories,
    set_starters,
    task,
)
from stepwire._handlers.start_page import ChatProfile, Starter, StarterCategory
from stepwire._runs.subtasks import enqueue
from stepwire._scope.emitter import Current, attach, current, session
from stepwire._scope.session_title import session_title
from stepwire._scope.sync import make_async, run_sync, sleep
from stepwire._scope.user_session import User, user_session
from stepwire._tree.action import Action
from stepwire._tree.chat_context import chat_context
from stepwire._tree.chat_settings import ChatSettings
from stepwire._tree.current import context
from stepwire._tree.live_elements import CustomElement, Task, TaskList, TaskStatus
from stepwire._tree.message import ErrorMessage, Message
from stepwire._tree.sidebar import ElementSidebar
from stepwire._tree.step import Step
from stepwire._values.generation import ChatGeneration, CompletionGeneration, GenerationMessage
from stepwire_core.errors import (
    ActionNotFound,
    AskEnded,
    AskNotFound,
    ElementNotFound,
    ElementTooLarge,
    FeedbackDisabled,
    ForkedProcess,
    HandlerModuleError,
    HandlerNotFound,
    IdConflict,
    InvalidArgument,
    InvalidCursor,
    InvalidId,
    NoActiveSession,
    ProtocolViolation,
    RunEnded,
    RunFenced,
    RunNotFound,
    SessionFull,
    SessionNotFound,
    SettingsError,
    StepNotFound,
    StepwireError,
    StoreRefused,
    StoreUnavailable,
    TaskFailed,
    ValueTooLarge,
)

__all__ = [
    "Action",
    "ActionNotFound",
    "AskActionMessage",
    "AskElementMessage",
    "AskEnded",
    "AskFileMessage",
    "AskFileResponse",
    "AskNotFound",
    "AskUserMessage",
    "Audio",
    "ChatGeneration",
    "ChatProfile",
    "ChatSettings",
    "CompletionGeneration",
    "Current",
    "CustomElement",
    "Dataframe",
    "Element",
    "ElementNotFound",
    "ElementSidebar",
    "ElementTooLarge",
    "ErrorMessage",
    "Feedback",
    "FeedbackDisabled",
    "File",
    "ForkedProcess",
    "GenerationMessage",
    "HandlerModuleError",
    "HandlerNotFound",
    "IdConflict",
    "Image",
    "InvalidArgument",
    "InvalidCursor",
    "InvalidId",
    "Json",
    "Message",
    "NoActiveSession",
    "Pdf",
    "Plotly",
    "ProtocolViolation",
    "Pyplot",
    "Retry",
    "RunEnded",
    "RunFenced",
    "RunNotFound",
    "SessionFull",
    "SessionNotFound",
    "SettingsError",
    "Starter",
    "StarterCategory",
    "Step",
    "StepNotFound",
    "StepwireError",
    "StoreRefused",
    "StoreUnavailable",
    "Task",
    "TaskFailed",
    "TaskList",
    "TaskStatus",
    "Text",
    "User",
    "ValueTooLarge",
    "Video",
    "action_callback",
    "attach",
    "author_rename",
    "chat_context",
    "context",
    "current",
    "enqueue",
    "input_widget",
    "make_async",
    "on_app_shutdown",
    "on_app_startup",
    "on_chat_end",
    "on_chat_resume",
    "on_chat_start",
    "on_feedback",
    "on_message",
    "on_settings_edit",
    "on_settings_update",
    "on_stop",
    "run_sync",
    "session",
    "session_title",
    "set_chat_profiles",
    "set_starter_categories",
    "set_starters",
    "sleep",
    "step",
    "task",
    "user_session",
]

if typing.TYPE_CHECKING:
    from stepwire._version import __version__ as __version__
else:

    def __getattr__(name: str) -> str:
        """The version; or say what stands in place of a name that only chainlit has."""
        if name == "__version__":
            # Reading it loads more modules than all of asyncio has.
            from stepwire._version import __version__

            return __version__
        from stepwire._chainlit import INSTEAD
        from stepwire.errors import NotProvided

        if name in INSTEAD:
            raise NotProvided(name, INSTEAD[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

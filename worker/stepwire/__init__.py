"""Live, nested steps of LLM agents in background workers: ``import stepwire as cl``."""

from stepwire._async import make_async, run_sync, sleep
from stepwire._context import context
from stepwire._decorator import step
from stepwire._element import Element
from stepwire._elements import (
    Audio,
    Dataframe,
    File,
    Image,
    Json,
    Pdf,
    Plotly,
    Text,
    Video,
)
from stepwire._handlers import on_chat_start, on_message, on_stop, task
from stepwire._message import ErrorMessage, Message
from stepwire._session import Current, attach, current, session
from stepwire._step import Step
from stepwire._user_session import user_session
from stepwire_core.errors import (
    ElementNotFound,
    ElementTooLarge,
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
    SessionNotFound,
    SettingsError,
    StepwireError,
    StoreUnavailable,
)

__all__ = [
    "Audio",
    "Current",
    "Dataframe",
    "Element",
    "ElementNotFound",
    "ElementTooLarge",
    "ErrorMessage",
    "File",
    "ForkedProcess",
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
    "RunEnded",
    "RunFenced",
    "RunNotFound",
    "SessionNotFound",
    "SettingsError",
    "Step",
    "StepwireError",
    "StoreUnavailable",
    "Text",
    "Video",
    "attach",
    "context",
    "current",
    "make_async",
    "on_chat_start",
    "on_message",
    "on_stop",
    "run_sync",
    "session",
    "sleep",
    "step",
    "task",
    "user_session",
]

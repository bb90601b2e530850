"""Live, nested steps of LLM agents in background workers: ``import stepwire as cl``."""

from stepwire._context import context
from stepwire._decorator import step
from stepwire._handlers import on_chat_start, on_message, task
from stepwire._message import Message
from stepwire._session import Current, attach, current, session
from stepwire._step import Step
from stepwire._time import sleep
from stepwire_core.errors import (
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
    "Current",
    "ForkedProcess",
    "HandlerModuleError",
    "HandlerNotFound",
    "IdConflict",
    "InvalidArgument",
    "InvalidCursor",
    "InvalidId",
    "Message",
    "NoActiveSession",
    "ProtocolViolation",
    "RunEnded",
    "RunFenced",
    "RunNotFound",
    "SessionNotFound",
    "SettingsError",
    "Step",
    "StepwireError",
    "StoreUnavailable",
    "attach",
    "context",
    "current",
    "on_chat_start",
    "on_message",
    "session",
    "sleep",
    "step",
    "task",
]

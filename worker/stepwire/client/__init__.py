"""The Python client of a gateway: ``from stepwire.client import AsyncClient, Client``.

It needs ``pip install 'stepwire[client]'``. docs/clients.md has a tour.
"""

from stepwire.client._async_client import AsyncClient, IssuedToken
from stepwire.client._async_session import (
    AskedFor,
    AsyncSession,
    ChangedSettings,
    RunState,
    SentMessage,
    Update,
)
from stepwire.client._blocking import Client, Session
from stepwire.client._events import Event
from stepwire.client._following import Connection
from stepwire.client._gateway_errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NoAnswer,
    NotFound,
    NoToken,
    RequestRefused,
    Unauthenticated,
    Unavailable,
)
from stepwire.client._lists import SessionsUpdate
from stepwire.client._session_tree import SessionTree
from stepwire.client._tree_parts import Node, Row, RunNode, StepNode
from stepwire_core.wire.choices.start_page import (
    ChatProfileDocument,
    StarterCategoryDocument,
    StarterDocument,
    StartPage,
)
from stepwire_core.wire.documents import (
    AskDocument,
    ElementDocument,
    FeedbackDocument,
    RunDocument,
    StepDocument,
    Submission,
)
from stepwire_core.wire.run_entry import RunEntry, WaitingRun
from stepwire_core.wire.session_entry import SessionEntry
from stepwire_core.wire.task_document import TaskEntry, TaskList
from stepwire_core.wire.worker_document import RunningRun, WorkerDocument

__all__ = [
    "AskDocument",
    "AskedFor",
    "AsyncClient",
    "AsyncSession",
    "BadAnswer",
    "ChangedSettings",
    "ChatProfileDocument",
    "Client",
    "Conflict",
    "Connection",
    "ElementDocument",
    "Event",
    "FeedbackDocument",
    "Forbidden",
    "GatewayError",
    "InvalidRequest",
    "IssuedToken",
    "LimitExceeded",
    "NoAnswer",
    "NoToken",
    "Node",
    "NotFound",
    "RequestRefused",
    "Row",
    "RunDocument",
    "RunEntry",
    "RunNode",
    "RunState",
    "RunningRun",
    "SentMessage",
    "Session",
    "SessionEntry",
    "SessionTree",
    "SessionsUpdate",
    "StartPage",
    "StarterCategoryDocument",
    "StarterDocument",
    "StepDocument",
    "StepNode",
    "Submission",
    "TaskEntry",
    "TaskList",
    "Unauthenticated",
    "Unavailable",
    "Update",
    "WaitingRun",
    "WorkerDocument",
]

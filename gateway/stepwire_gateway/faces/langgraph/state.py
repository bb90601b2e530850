"""A session as the newest checkpoint of a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwire_gateway.faces.answers import last_answering
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.langgraph.paths import Paths
from stepwire_gateway.faces.langgraph.transcript import ROLES, TOOL, ended_messages
from stepwire_gateway.faces.retelling import retold

if TYPE_CHECKING:
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot


async def state_of(snapshot: WrittenSnapshot, thread_id: str) -> dict[str, Any]:
    """The messages that are final. The stream tells the ones under way; a client opens it
    where ``next`` is not empty."""
    paths, messages = Paths(), list[dict[str, Any]]()
    async for event in retold(snapshot, Scope()):
        if event.type != "step.start":
            continue
        step = event.data
        path = paths.put(step)
        if step["type"] in ROLES or (step["type"] == TOOL and len(path) == 1):
            messages += ended_messages(step)
    is_running = last_answering(snapshot) is not None
    return {
        "values": {"messages": messages},
        "next": ["agent"] if is_running else [],
        "metadata": {},
        "checkpoint": {"thread_id": thread_id, "checkpoint_ns": ""},
        "parent_checkpoint": None,
    }

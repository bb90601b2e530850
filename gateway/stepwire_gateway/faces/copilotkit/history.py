"""A whole session as a client of AG-UI has it, at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stepwire_gateway.faces.agui.dialect import COPILOTKIT
from stepwire_gateway.faces.agui.mapping import AgUiMapping
from stepwire_gateway.faces.agui.teller import AgUiClient
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.retelling import retold

if TYPE_CHECKING:
    from stepwire_gateway.services import Services


async def history(services: Services, session_id: str, thread_id: str) -> dict[str, Any]:
    """Its ``messages`` and its ``state``.

    Raises:
        SessionNotFound: the session does not exist.
        StoreUnavailable: Redis does not answer.
    """
    snapshot = await services.hub.snapshots.whole(session_id)
    mapping = AgUiMapping(AgUiClient(thread_id, "history", COPILOTKIT), None)
    async for event in retold(snapshot, Scope()):
        mapping.tell(event)
    found: dict[str, Any] = {"messages": [], "state": {}}
    for frame in mapping.retold().decode().split("\n\n"):
        data = frame.partition("data: ")[2]
        event = json.loads(data) if data else {}
        if event.get("type") == "MESSAGES_SNAPSHOT":
            found["messages"] = event["messages"]
        elif event.get("type") == "STATE_SNAPSHOT":
            found["state"] = event["snapshot"]
    return found

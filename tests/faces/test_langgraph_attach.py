"""A client of a thread that attaches anywhere, or comes back, has the whole in the end."""

from __future__ import annotations

import asyncio
from typing import Any

from faces.history import RUN, History, over_histories
from faces.test_attaching import Stored
from faces.thread_fold import ThreadFold
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.values.ids import new_id
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.langgraph.filters import Subscription
from stepwire_gateway.faces.langgraph.mapping import LangGraphMapping
from stepwire_gateway.faces.langgraph.state import state_of
from stepwire_gateway.faces.retelling import retold

CHANNELS = ["values", "lifecycle", "input", "messages", "tools"]


@over_histories
def test_wherever_a_client_attaches_or_comes_back_it_has_the_whole_in_the_end(
    server: EmbeddedServer, drawn: list[tuple[Any, ...]]
) -> None:
    asyncio.run(_check(server.url, History.of(new_id(), drawn)))


async def _check(redis_url: str, history: History) -> None:
    stored = await Stored.of(redis_url, history)
    whole = await _told(stored, [0])
    last = len(stored.events)
    for at in range(1, last + 1):
        state = await state_of(stored.snapshots[at - 1], "t")
        middle = (at + last) // 2
        for breaks, hydrated in [([at], state), ([0, at], None), ([at, middle], None)]:
            client = await _told(stored, breaks, hydrated)
            _agrees(client, history)
            assert list(client.texts) == list(whole.texts)
            assert client.states[-1] == "completed"
    state = await state_of(stored.snapshots[-1], "t")
    for message in state["values"]["messages"]:
        if message["type"] == "ai" and not message.get("tool_calls"):
            assert message["content"] == history.outputs[message["id"]]


async def _told(
    stored: Stored, begins: list[int], state: dict[str, Any] | None = None
) -> ThreadFold:
    """A client whose streams begin after so many events; each ends where the next one begins.
    ``state``: what it has begun with."""
    client = ThreadFold(state)
    for begin, end in zip(begins, [*begins[1:], len(stored.events)], strict=True):
        mapping = LangGraphMapping(Subscription(channels=CHANNELS))
        if begin:
            async for event in retold(stored.snapshots[begin - 1], Scope()):
                client.take(mapping.tell(event))
            client.take(mapping.retold())
        for event in stored.events[begin:end]:
            client.take(mapping.tell(event))
    return client


def _agrees(client: ThreadFold, history: History) -> None:
    """No character is lost and none is doubled. What streams into a message after its end is told
    by its next document."""
    for step_id, output in history.outputs.items():
        if step_id in history.removed:
            assert step_id not in client.texts
        elif history.types[step_id] == "assistant_message" and step_id not in history.late:
            assert client.texts[step_id] == client.sealed.get(step_id, output)
    assert RUN not in client.texts

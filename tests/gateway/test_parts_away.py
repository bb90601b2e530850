"""A hub on a cluster of which a node says nothing, or of which some slots have no node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from redis.crc import key_slot

from cluster import Cluster, ClusterNode, cluster, frozen
from documents import a_step
from stepwire_core.errors import StoreUnavailable
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.log.session_index import Page, SessionIndex, Wanted
from stepwire_core.redis.keys import INDEX, SessionKeys
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import step_event
from stepwire_gateway.hub.frames import Frame
from stepwire_gateway.hub.hub import Hub
from stepwire_gateway.hub.session_list import ListFrames

pytestmark = pytest.mark.anyio

LIMIT_S = 60
NO_QUEUE = "redis://127.0.0.1:1"


async def session_on(nodes: Cluster, node: ClusterNode, log: EventLog) -> str:
    while True:
        session = new_id()
        if nodes.owner(key_slot(SessionKeys.of(session).log.encode())) is node:
            await log.create(session, new_id())
            return session


async def follow(hub: Hub, session: str, frames: asyncio.Queue[Frame]) -> None:
    reading = await hub.open(session, None)
    try:
        async with aclosing(reading.batches()) as batches:
            async for batch in batches:
                for frame in batch:
                    frames.put_nowait(frame)
    finally:
        await reading.aclose()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(primaries=2) as running:
        for node in running.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        yield running


@pytest.fixture
def settings(nodes: Cluster) -> Settings:
    return Settings(redis_url=nodes.url, queue_url=NO_QUEUE, tail_check_s=0.1)


async def test_a_lost_message_is_found_while_another_node_says_nothing(
    nodes: Cluster, settings: Settings
) -> None:
    silent, other = nodes.primaries
    async with open_log(settings) as log, asyncio.timeout(LIMIT_S):
        hub, frames = Hub(log, settings), asyncio.Queue[Frame]()
        sessions = [await session_on(nodes, node, log) for node in (silent, other)]
        async with hub.running():
            readers = [asyncio.create_task(follow(hub, one, frames)) for one in sessions]
            for _ in sessions:
                assert (await frames.get()).snapshot is not None
            with frozen(silent):
                # Over the node alone, as if it was no cluster: no listener there hears it.
                async with open_store(other.url) as store:
                    event = step_event("step.start", a_step(sessions[1], "step"))
                    batch = Batch(sessions[1], [event], producer="p")
                    await EventLog(store, settings).append(batch)
                # Another library of functions begins another epoch: the news is a snapshot.
                assert (await frames.get()).snapshot is not None
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


def list_frames() -> ListFrames:
    def page_json(page: Page) -> bytes:
        return json.dumps([[entry.id for entry in page.entries], page.unavailable]).encode()

    return ListFrames(lambda _: True, lambda entry: json.dumps(entry.id).encode(), page_json)


def said(batch: list[Frame]) -> list[tuple[str, Any]]:
    texts = [(frame.type, frame.encoded.partition(b"data: ")[2]) for frame in batch]
    return [(type_, json.loads(text)) for type_, text in texts]


async def test_a_list_names_the_sessions_that_it_cannot_ask_and_shows_them_when_it_can(
    nodes: Cluster, settings: Settings
) -> None:
    """News of the others goes on meanwhile."""
    of_index = nodes.owner(key_slot(INDEX.encode()))
    owner = next(node for node in nodes.primaries if node is not of_index)
    async with open_log(settings) as log, asyncio.timeout(LIMIT_S):
        hub = Hub(log, settings)
        index = hub.sessions.index
        lost, kept = [await session_on(nodes, owner, log) for _ in range(2)]
        for session in (kept, lost):
            await index.note(session)
        slot = key_slot(SessionKeys.of(lost).meta.encode())
        owner.ask("CLUSTER", "DELSLOTS", slot)
        wanted = Wanted(ids=(lost, kept), prefixes=())
        async with hub.running():
            reading = await hub.open_list(lambda: index.page(wanted, 50), list_frames())
            async with aclosing(reading.batches()) as batches:
                assert said(await anext(batches)) == [("sessions", [[kept], [lost]])]
                for session in (lost, kept):
                    await index.note(session)
                assert said(await anext(batches)) == [("session", kept)]
                assert await index.sweep() == 0
                owner.ask("CLUSTER", "ADDSLOTS", slot)
                assert said(await anext(batches)) == [("session", lost)]
            await reading.aclose()


async def test_a_list_leaves_out_a_node_that_says_nothing_and_is_away_without_its_own(
    nodes: Cluster, settings: Settings
) -> None:
    of_index = nodes.owner(key_slot(INDEX.encode()))
    silent = next(node for node in nodes.primaries if node is not of_index)
    async with open_log(settings) as log, asyncio.timeout(LIMIT_S):
        index = SessionIndex(log.store, settings)
        lost, kept = [await session_on(nodes, node, log) for node in (silent, of_index)]
        for session in (kept, lost):
            await index.note(session)
        with frozen(silent):
            page = await index.page(Wanted(ids=(lost, kept), prefixes=()), 50)
        assert [entry.id for entry in page.entries] == [kept]
        assert page.unavailable == [lost]
        slot = key_slot(INDEX.encode())
        of_index.ask("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreUnavailable):
            await index.page(Wanted(ids=(lost, kept), prefixes=()), 50)
        of_index.ask("CLUSTER", "ADDSLOTS", slot)

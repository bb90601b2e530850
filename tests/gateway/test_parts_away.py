"""A hub on a cluster of which a node says nothing."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing

import pytest
from redis.crc import key_slot

from cluster import Cluster, ClusterNode, cluster
from documents import a_step
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import step_event
from stepwire_gateway.hub.frames import Frame
from stepwire_gateway.hub.hub import Hub

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


async def test_a_lost_message_is_found_while_another_node_says_nothing() -> None:
    with cluster(primaries=2) as nodes:
        for node in nodes.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        silent, other = nodes.primaries
        settings = Settings(redis_url=nodes.url, queue_url=NO_QUEUE, tail_check_s=0.1)
        async with open_log(settings) as log, asyncio.timeout(LIMIT_S):
            hub, frames = Hub(log, settings), asyncio.Queue[Frame]()
            sessions = [await session_on(nodes, node, log) for node in (silent, other)]
            async with hub.running():
                readers = [asyncio.create_task(follow(hub, one, frames)) for one in sessions]
                for _ in sessions:
                    assert (await frames.get()).snapshot is not None
                assert silent.process is not None
                silent.process.send_signal(signal.SIGSTOP)
                try:
                    # Over the node alone, as if it was no cluster: no listener there hears it.
                    async with open_store(other.url) as store:
                        event = step_event("step.start", a_step(sessions[1], "step"))
                        batch = Batch(sessions[1], [event], producer="p")
                        await EventLog(store, settings).append(batch)
                    # Another library of functions begins another epoch: the news is a snapshot.
                    assert (await frames.get()).snapshot is not None
                finally:
                    silent.process.send_signal(signal.SIGCONT)
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)

"""Several gateways, many clients, one order: the README's first two guarantees, over real HTTP."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import httpx
import pytest

from sse import Client, Received, assert_dense
from stack import Gateway, Stack, wait_until

pytestmark = pytest.mark.anyio

LIMIT_S = 60

APP = """
    import asyncio
    import pathlib

    import stepwire as cl

    async def branch(name, tokens, pause):
        async with cl.Step(name, type="llm") as step:
            for number in range(tokens):
                await step.stream_token(f"{name}{number} ")
                await asyncio.sleep(pause)

    @cl.on_message
    async def main(message):
        async with cl.Step("agent", type="run") as agent:
            pause = 0.03 if message.content == "slowly" else 0.002
            await asyncio.gather(*(branch(f"b{number}-", 60, pause) for number in range(4)))
            gate = pathlib.Path(message.content)
            while gate.is_absolute() and not gate.exists():
                await branch("waits", 1, 0.03)
            async with cl.Step("scratch") as scratch:
                async with cl.Step("below"):
                    pass
            await scratch.remove()
        agent.output = "updated"
        await agent.update()
        await cl.Message("done").send()
"""


def ends_run(event: Received) -> bool:
    return event.type == "run.end" and event.data["handler"] == "on_message"


async def _clients(stack: AsyncExitStack, gateway: Gateway) -> httpx.AsyncClient:
    return await stack.enter_async_context(
        httpx.AsyncClient(
            base_url=gateway.url, timeout=LIMIT_S, limits=httpx.Limits(max_connections=50)
        )
    )


async def test_ten_clients_on_each_of_two_gateways_see_one_sequence(stack: Stack) -> None:
    stack.worker(APP)
    gateways = [stack.shared_gateway(), stack.gateway()]
    session = gateways[0].create_session()
    path = f"/v1/sessions/{session}/events"
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        https = [await _clients(resources, gateway) for gateway in gateways]
        clients = [(Client(), https[n % 2]) for n in range(20)]
        async with asyncio.TaskGroup() as group:
            for client, http in clients:
                group.create_task(client.read(http, path, ends_run))
            for client, _ in clients:
                await client.connected.wait()
            await asyncio.to_thread(gateways[1].send, session, "go")
    snapshot = gateways[1].snapshot(session)
    first = [event.raw for event in clients[0][0].received[1:]]
    assert len(first) > 100
    for client, _ in clients:
        assert_dense(client.received)
        assert [event.raw for event in client.received[1:]] == first
        assert client.view.same_as(snapshot)
    assert "scratch" not in [step["name"] for step in snapshot["steps"]]


async def test_a_client_that_reconnects_anywhere_misses_nothing(stack: Stack) -> None:
    """Cut after every event, taken up by the other gateway: the whole is as if never cut."""
    stack.worker(APP)
    gateways = [stack.shared_gateway(), stack.gateway()]
    session = gateways[0].create_session()
    path = f"/v1/sessions/{session}/events"
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        https = [await _clients(resources, gateway) for gateway in gateways]
        steady, cut = Client(), Client()
        async with asyncio.TaskGroup() as group:
            group.create_task(steady.read(https[0], path, ends_run))
            await steady.connected.wait()
            await cut.read(https[1], path, lambda _: True)
            await asyncio.to_thread(gateways[0].send, session, "go")
            turn = 0
            while not ends_run(cut.received[-1]):
                turn += 1
                await cut.read(https[turn % 2], path, lambda _: True)
    assert turn > 100
    assert [event.raw for event in cut.received] == [event.raw for event in steady.received]
    assert cut.view.same_as(gateways[0].snapshot(session))
    # And once more from every place, after all is over.
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        http = await _clients(resources, gateways[1])
        whole = steady.received
        for index in range(0, len(whole) - 1, 7):
            late = Client()
            late.view.cursor = whole[index].cursor
            await late.read(http, path, ends_run)
            assert [event.raw for event in late.received] == [e.raw for e in whole[index + 1 :]]


async def test_a_gateway_that_is_killed_costs_its_clients_nothing(stack: Stack) -> None:
    stack.worker(APP)
    doomed, other = stack.gateway(), stack.shared_gateway()
    session = other.create_session()
    path = f"/v1/sessions/{session}/events"
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        https = [await _clients(resources, gateway) for gateway in (doomed, other)]
        client = Client()

        async def reconnecting() -> None:
            try:
                await client.read(https[0], path, ends_run)
            except httpx.TransportError:
                await client.read(https[1], path, ends_run)

        async with asyncio.TaskGroup() as group:
            group.create_task(reconnecting())
            await client.connected.wait()
            await asyncio.to_thread(other.send, session, "go")
            await client.underway.wait()
            doomed.child.kill()
    assert_dense(client.received)
    assert client.view.same_as(other.snapshot(session))


async def test_a_gateway_that_is_told_to_stop_hands_its_clients_over_in_order(stack: Stack) -> None:
    stack.worker(APP)
    leaving, other = stack.gateway(STEPWIRE_GRACE_S="2"), stack.shared_gateway()
    session = other.create_session()
    path = f"/v1/sessions/{session}/events"
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        https = [await _clients(resources, gateway) for gateway in (leaving, other)]
        clients = [Client() for _ in range(10)]

        async def handed_over(client: Client) -> None:
            # Ends by itself, with whole frames: the reader is strict.
            await client.read(https[0], path, ends_run)
            assert not ends_run(client.received[-1]), "the run was over before the gateway left"
            await client.read(https[1], path, ends_run)

        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(handed_over(client))
            for client in clients:
                await client.connected.wait()
            gate = stack.folder / "the gateway has left"
            await asyncio.to_thread(other.send, session, str(gate))
            for client in clients:
                await client.underway.wait()
            leaving.child.signal(signal.SIGTERM)
            await asyncio.to_thread(
                wait_until, lambda: leaving.child.exit_code is not None, "it ends"
            )
            gate.touch()
    for client in clients:
        assert_dense(client.received)
        assert client.view.same_as(other.snapshot(session))
    assert leaving.child.exit_code == 0
    for word in ("Traceback", "ERROR"):
        assert word not in leaving.child.output


async def test_the_stream_of_a_run_has_its_events_alone_and_ends_with_it(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "slowly")["run_id"]
    other = gateway.send(session, "slowly")["run_id"]
    path = f"/v1/sessions/{session}/runs/{run}/events"
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        http = await _clients(resources, gateway)
        client = Client()
        await client.read(http, path, lambda _: False)
        await asyncio.to_thread(gateway.wait_for_end, session, other)
        last = client.received[-1]
        assert (last.type, last.data["run_id"], last.data["will_retry"]) == ("run.end", run, False)
        assert {step["run_id"] for step in client.view.steps.values()} == {run}
        own = [event for event in client.received if event.type == "step.delta"]
        assert len(own) > 20
        assert {event.data["id"] for event in own} <= set(client.view.steps)
        cursors = [event.cursor for event in client.received]
        assert cursors == sorted(set(cursors))

        over = await http.get(path, headers={"Last-Event-ID": str(last.cursor)})
        assert (over.status_code, over.content) == (204, b"")
        assert (await http.get(path, params={"after": str(last.cursor)})).status_code == 204

        late = Client()
        await late.read(http, path, lambda _: False)
        assert [event.type for event in late.received] == ["snapshot"]
        assert list(late.view.steps) == list(client.view.steps)
        again = await http.get(path, headers={"Last-Event-ID": str(late.view.cursor)})
        assert again.status_code == 204


async def test_a_stream_opened_by_hand_has_the_headers_that_proxies_need(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_PING_S="0.1")
    session = gateway.create_session()
    async with AsyncExitStack() as resources, asyncio.timeout(LIMIT_S):
        http = await _clients(resources, gateway)
        async with http.stream("GET", f"/v1/sessions/{session}/events") as response:
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["x-accel-buffering"] == "no"
            assert response.headers["cache-control"] == "no-store"
            text = ""
            async for piece in response.aiter_text():
                text += piece
                if ": ping\n\n" in text:
                    break
    assert text.startswith("retry: 1000\n\nid: ")

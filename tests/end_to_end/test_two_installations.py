"""Two installations on one Redis, each in a database of its own, or with a prefix of its own:
neither notices the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sse import first_of, reading
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import Channels
from stepwire_core.values.ids import new_id

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("work") as step:
            await step.stream_token(message.content)
            await asyncio.sleep(60)
"""


@pytest.fixture(params=["databases", "prefixes"])
def stacks(
    request: pytest.FixtureRequest, tmp_path: Path, server: EmbeddedServer
) -> Iterator[tuple[Stack, Stack]]:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    url, database, _ = server.url.rpartition("/0")
    other = f"{url}/1" if database else f"{server.url}/1"
    if request.param == "prefixes":
        other = server.url
    with Stack(tmp_path / "0", server.url) as one, Stack(tmp_path / "1", other) as two:
        if request.param == "prefixes":
            for prefix, stack in (("a:", one), ("b:", two)):
                # Whatever it touches without its prefix is refused.
                stack.redis.execute_command(
                    *("ACL", "SETUSER", f"of-{prefix}", "reset", "on", ">pw"),
                    *(f"~{prefix}*", f"&{prefix}*", "+@all", "-@admin", "-@dangerous", "+info"),
                )
                place = f"127.0.0.1:{server.port}/0?prefix={prefix}"
                stack.env["STEPWIRE_REDIS_URL"] = (
                    f"redis://of-{prefix.replace(':', '%3A')}:pw@{place}"
                )
        yield one, two


def start(gateway: Gateway, session: str, content: str) -> str:
    run = gateway.send(session, content)["run_id"]
    wait_until(
        lambda: [s["output"] for s in gateway.snapshot(session)["steps"]][-1:] == [content],
        "the run is under way",
    )
    return run


def is_running(gateway: Gateway, session: str, run: str) -> bool:
    found = gateway.run(session, run)
    return found is not None and found["status"] == "running"


def test_sessions_of_one_name_in_two_databases_end_each_by_itself(
    stacks: tuple[Stack, Stack],
) -> None:
    """The queue has one name in both, too, as it has by default."""
    session = f"demo-{new_id()}"
    one, two = stacks
    two.env["STEPWIRE_QUEUE_NAME"] = one.env["STEPWIRE_QUEUE_NAME"]
    gateways = []
    for stack in stacks:
        stack.worker(APP)
        gateways.append(stack.gateway())
        gateways[-1].create_session(session)
    here, there = gateways
    runs = [start(gateway, session, "go") for gateway in gateways]
    with reading(there.client, f"/v1/sessions/{session}/events", timeout=30) as stream:
        first_of(stream, "snapshot")
        assert here.client.post(f"/v1/sessions/{session}/runs/{runs[0]}/cancel").status_code == 202
        assert here.wait_for_end(session, runs[0])["status"] == "cancelled"
        assert here.client.delete(f"/v1/sessions/{session}").status_code == 204
        assert is_running(there, session, runs[1])
        there.client.post(f"/v1/sessions/{session}/runs/{runs[1]}/cancel")
        # It goes on to the end of its own run.
        first_of(stream, "run.end")
    assert there.wait_for_end(session, runs[1])["status"] == "cancelled"


def test_a_message_that_the_log_does_not_confirm_ends_and_cancels_nothing(
    stack: Stack,
) -> None:
    stack.worker(APP)
    gateway = stack.gateway()
    session = gateway.create_session()
    run = start(gateway, session, "go")
    channels = Channels.of(stack.env["STEPWIRE_REDIS_URL"])
    with reading(gateway.client, f"/v1/sessions/{session}/events", timeout=30) as stream:
        first_of(stream, "snapshot")
        for _ in range(3):
            stack.redis.publish(channels.session(session).decode(), "gone")
            for whom in (run, "*"):
                stack.redis.publish(channels.cancel.decode(), f"{session} {whom}")
        # Another session's run is cancelled after them: they were all heard by then.
        later = gateway.create_session()
        other = start(gateway, later, "later")
        gateway.client.post(f"/v1/sessions/{later}/runs/{other}/cancel")
        gateway.wait_for_end(later, other)
        assert is_running(gateway, session, run)
        gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
        first_of(stream, "run.end")


def test_a_channel_names_its_database_but_for_the_first() -> None:
    assert Channels.of("redis://host:6379").session("s") == b"stepwire:{s}"
    assert Channels.of("redis://host:6379/0").cancel == b"stepwire:cancel"
    assert Channels.of("redis://host:6379/3").session("s") == b"stepwire:{s}@3"
    assert Channels.of("unix:///run/redis.sock?db=2").answer == b"stepwire:answer@2"

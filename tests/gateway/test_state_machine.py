"""Delivery as a state machine: whatever happens in whatever order, every client has what the log
says.

Two hubs, as two gateways have them, and one server of its own. Hypothesis draws what is appended
and by whom, what is trimmed, expires, is cut, crashes and stalls. A model folds what was appended
as docs/protocol.md says; whenever things settle, model, log and every client must agree.

``make test`` draws some examples, ``make soak`` many.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis as SyncRedis
from redis.exceptions import ConnectionError

from documents import a_run, a_step, an_element
from event_log import client_of, counted, recounted
from sse import Received, View, event_of
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import RunEnded, RunFenced, SessionNotFound, StoreUnavailable
from stepwire_core.log import reader as reading_module
from stepwire_core.log.event_log import Batch, open_log
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import emitter_producer, new_id
from stepwire_core.wire.documents import RunDocument
from stepwire_core.wire.events import (
    NewEvent,
    delta_event,
    element_event,
    element_remove_event,
    remove_event,
    run_end_event,
    run_start_event,
    step_event,
)
from stepwire_gateway.hub import feed as _feed
from stepwire_gateway.hub.hub import Hub
from topologies import FULL

EXAMPLES = int(os.environ.get("STEPWIRE_TEST_EXAMPLES") or ("3000" if FULL else "40"))
STEPS = 40
SETTLE_S = 10
NEVER_S = 1_000.0

T = TypeVar("T")

STEP_IDS = ("a", "b", "c", "d", "e")
ELEMENT_IDS = ("x", "y", "z")

texts = strategies.sampled_from(("token ", '"quoted"\n', "ä€😀", "y" * 300))
step_ids = strategies.sampled_from(STEP_IDS)


class Model(View):
    """The fold of all that was appended, by the rules of docs/protocol.md."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: set[str] = set()

    def take(self, event: NewEvent) -> None:
        """Fold an event that was sent; what counts is decided here, not asked of the log."""
        text = f'"{event.payload}"' if event.type == "step.delta" else event.payload
        data: Any = json.loads(text)
        if event.type == "step.delta":
            data = {"id": event.id, "field": event.parent, "text": data}
            data["replace"] = event.op == "replace_text"
        elif event.type == "step.remove":
            before = set(self.steps)
            self._fold_next(event.type, data)
            self.removed |= before - set(self.steps) | {event.id}
            return
        elif event.type in ("step.update", "step.end", "element.add"):
            step_id = event.parent if event.type == "element.add" else event.id
            if step_id in self.removed and step_id not in self.steps:
                return
        self._fold_next(event.type, data)

    def _fold_next(self, kind: str, data: Any) -> None:
        seq = self.cursor.seq + 1 if self.cursor else 1
        self.fold(Received(Cursor(0, seq), kind, data, ""))


class Client:
    """Reads from a hub in a task of its own, and checks all that it gets."""

    def __init__(self, ids: dict[Cursor, bytes]) -> None:
        self.view = View()
        self.may_go_back = False
        self._ids = ids
        self._go = asyncio.Event()
        self._go.set()
        self.task: asyncio.Task[None] | None = None

    def connect(self, hub: Hub, session_id: str) -> None:
        self.task = asyncio.create_task(self._read(hub, session_id))

    async def disconnect(self) -> None:
        if self.task is None:
            return
        self.task.cancel()
        with suppress(asyncio.CancelledError, StoreUnavailable):
            await self.task
        self.task = None

    def stall(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    @property
    def lost(self) -> bool:
        """Its stream has ended, or never began."""
        return self.task is None or self.task.done()

    def check(self) -> None:
        """Raise what the task failed with."""
        if self.task is not None and self.task.done() and not self.task.cancelled():
            error = self.task.exception()
            if error is not None and not isinstance(error, StoreUnavailable):
                raise error

    async def _read(self, hub: Hub, session_id: str) -> None:
        try:
            reading = await hub.open(session_id, self.view.cursor)
        except SessionNotFound:
            return
        try:
            async with aclosing(reading.batches()) as batches:
                async for frames in batches:
                    for frame in frames:
                        self._take(frame.encoded)
                    await self._go.wait()
        finally:
            await reading.aclose()

    def _take(self, encoded: bytes) -> None:
        event = event_of(encoded.decode().removesuffix("\n\n"))
        assert event is not None
        last = self.view.cursor
        if event.type == "snapshot":
            # One may come again where nothing has changed; it goes back only where the log did.
            assert last is None or event.cursor >= last or self.may_go_back
        else:
            assert last is not None, "an event before any snapshot"
            assert event.cursor == (last.epoch, last.seq + 1), f"{event.cursor} after {last}"
            known = self._ids.setdefault(event.cursor, encoded)
            assert known == encoded, f"{event.cursor} was another event before"
        self.view.fold(event)


class Producer:
    """An attempt of a run, or an emitter: numbers its events, and may repeat a call."""

    def __init__(self, run_id: str = "", attempt: int = 0, name: str = "") -> None:
        self.name = name or emitter_producer()
        self.run_id = run_id
        self.attempt = attempt
        self.first = 1
        self.epoch = ""
        self.last: Batch | None = None
        self.crashes = 0
        """Those of the server, when the last batch was stored."""

    def batch(self, session_id: str, events: list[NewEvent]) -> Batch:
        self.last = Batch(
            session_id,
            events,
            producer=self.name,
            first=self.first,
            known_epoch=self.epoch,
            run_id=self.run_id,
            attempt=self.attempt,
        )
        return self.last


class Delivery(RuleBasedStateMachine):
    """See the module."""

    server: ClassVar[EmbeddedServer]

    clients = Bundle("clients")
    producers = Bundle("producers")

    # -- the world ------------------------------------------------------------------------------

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.session_id = new_id()
        self.model = Model()
        self.ids: dict[Cursor, bytes] = {}
        self.everybody: list[Client] = []
        self.exists = True
        self.generation = 0
        self.crashes = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def limited() -> T:
            async with asyncio.timeout(3 * SETTLE_S):
                return await coroutine

        return self.runner.run(limited())

    @initialize(tail_check_s=strategies.sampled_from((0.1, NEVER_S)))
    def begin(self, tail_check_s: float) -> None:
        self.settings = Settings(redis_url=self.server.url, tail_check_s=tail_check_s).model_copy(
            # Far below what a user may set: everything that has a limit reaches it.
            update={"log_max_events": 20, "log_max_bytes": 6_000, "subscriber_bytes": 2_000}
        )
        self.run(self._open())

    async def _open(self) -> None:
        self.stop = asyncio.Event()
        opened = [asyncio.Event(), asyncio.Event()]
        self.hubs: list[Hub] = []
        self.resources = AsyncExitStack()
        self.log = await self.resources.enter_async_context(open_log(self.settings))
        self.redis = client_of(self.log.store)
        await self._retry_until_available(lambda: self.log.create(self.session_id, "first"))
        await self._save()
        self.hub_tasks = [asyncio.create_task(self._hub(event)) for event in opened]
        for event in opened:
            await event.wait()

    async def _hub(self, opened: asyncio.Event) -> None:
        async with open_log(self.settings) as log:
            hub = Hub(log, self.settings)
            async with hub.running():
                self.hubs.append(hub)
                opened.set()
                await self.stop.wait()

    def teardown(self) -> None:
        try:
            if hasattr(self, "settings"):
                self.run(self._settle())
        finally:
            if hasattr(self, "settings"):
                self.run(self._close())
            self.runner.close()

    async def _close(self) -> None:
        for client in self.everybody:
            client.resume()
            await client.disconnect()
        self.stop.set()
        await asyncio.gather(*self.hub_tasks)
        await self.resources.aclose()

    # -- appending ------------------------------------------------------------------------------

    @rule(target=producers)
    def an_emitter_comes(self) -> Any:
        return multiple((self.generation, Producer()))

    @precondition(lambda self: self.exists)
    @rule(target=producers, run_id=strategies.sampled_from(("run1", "run2")))
    def an_attempt_begins(self, run_id: str) -> Any:
        return self.run(self._begin(run_id))

    async def _begin(self, run_id: str) -> Any:
        try:
            begun = await self._retry_until_available(
                lambda: self.log.begin_run(self.session_id, run_id, "t" + new_id())
            )
        except RunEnded:
            return multiple()
        producer = Producer(run_id, begun.attempt, begun.producer)
        await self._append(producer, [run_start_event(self._run(producer, "running"))])
        return multiple((self.generation, producer))

    @rule(
        which=producers,
        kind=strategies.sampled_from(("step.start", "step.update", "step.end")),
        step_id=step_ids,
        parent=strategies.one_of(strategies.none(), step_ids),
        output=texts,
    )
    def a_step(self, which: Any, kind: Any, step_id: str, parent: str | None, output: str) -> None:
        known = self.model.steps.get(step_id)
        step = a_step(
            self.session_id,
            step_id,
            run_id=which[1].run_id or None,
            attempt=which[1].attempt,
            parent_id=parent if known is None else known["parent_id"],
            status="ok" if kind == "step.end" else "running",
            output=output,
        )
        self._send(which, [step_event(kind, step)])

    @rule(
        which=producers,
        step_id=step_ids,
        pieces=strategies.lists(texts, min_size=1, max_size=8),
        field=strategies.sampled_from(("output", "input")),
        replace=strategies.booleans(),
    )
    def text(self, which: Any, step_id: str, pieces: list[str], field: Any, replace: bool) -> None:
        events = [delta_event(step_id, piece, field=field) for piece in pieces]
        if replace:
            events[0] = delta_event(step_id, pieces[0], field=field, replace=True)
        self._send(which, events)

    @rule(which=producers, step_id=step_ids, count=strategies.integers(10, 60))
    def a_burst_of_text(self, which: Any, step_id: str, count: int) -> None:
        for start in range(0, count, 5):
            self._send(which, [delta_event(step_id, f"{start + n} ") for n in range(5)])

    @rule(which=producers, other=producers, count=strategies.integers(1, 10))
    def two_at_once(self, which: Any, other: Any, count: int) -> None:
        """Elements, whose fold does not depend on which of the two comes first."""

        async def both() -> None:
            if which[1] is other[1] or not self._usable(which) or not self._usable(other):
                return
            await asyncio.gather(
                *(
                    self._append_all(
                        producer,
                        [[self._element(f"{name}{n}", None)] for n in range(count)],
                    )
                    for name, producer in (("p", which[1]), ("q", other[1]))
                )
            )
            names = [f"{name}{n}" for n in range(count) for name in "pq"]
            # And away again, since their order is not known here.
            await self._append(which[1], [element_remove_event(name) for name in names])

        self.run(both())

    @rule(which=producers, step_id=step_ids)
    def a_step_goes(self, which: Any, step_id: str) -> None:
        self._send(which, [remove_event(step_id)])

    @rule(
        which=producers,
        element_id=strategies.sampled_from(ELEMENT_IDS),
        step=strategies.one_of(strategies.none(), step_ids),
    )
    def an_element(self, which: Any, element_id: str, step: str | None) -> None:
        self._send(which, [self._element(element_id, step)])

    @rule(which=producers, element_id=strategies.sampled_from(ELEMENT_IDS))
    def an_element_goes(self, which: Any, element_id: str) -> None:
        self._send(which, [element_remove_event(element_id)])

    @rule(which=producers, will_retry=strategies.booleans())
    def an_attempt_ends(self, which: Any, will_retry: bool) -> None:
        if which[1].run_id:
            run = self._run(which[1], "ok", will_retry=will_retry)
            self._send(which, [run_end_event(run)])

    @rule(which=producers)
    def a_call_is_repeated(self, which: Any) -> None:
        batch = which[1].last
        if batch is None or batch.first >= which[1].first:
            return
        if self._usable(which) and which[1].crashes == self.crashes:
            with suppress(RunEnded, RunFenced):
                assert (
                    self.run(self._retry_until_available(lambda: self.log.append(batch))).stored
                    == 0
                )

    def _usable(self, which: Any) -> bool:
        return self.exists and which[0] == self.generation

    def _send(self, which: Any, events: list[NewEvent]) -> None:
        if self._usable(which):
            self.run(self._append(which[1], events))

    async def _append_all(self, producer: Producer, batches: list[list[NewEvent]]) -> None:
        for events in batches:
            await self._append(producer, events)

    async def _append(self, producer: Producer, events: list[NewEvent]) -> None:
        batch = producer.batch(self.session_id, events)
        try:
            appended = await self._retry_until_available(lambda: self.log.append(batch))
        except (RunEnded, RunFenced):
            return
        producer.first += len(events)
        producer.epoch = str(appended.top.epoch)
        producer.crashes = self.crashes
        for event in events:
            self.model.take(event)

    async def _retry_until_available(self, call: Any) -> Any:
        while True:
            try:
                return await call()
            except (StoreUnavailable, ConnectionError):
                # The client that looks past the seam knows no store: it raises what redis-py does.
                await asyncio.sleep(0)

    def _element(self, element_id: str, step: str | None) -> NewEvent:
        return element_event(an_element(self.session_id, element_id, step_id=step))

    def _run(self, producer: Producer, status: Any, *, will_retry: bool = False) -> RunDocument:
        fields = {"attempt": producer.attempt, "will_retry": will_retry}
        return a_run(producer.run_id, status, **fields)

    # -- clients --------------------------------------------------------------------------------

    @rule(target=clients, hub=strategies.integers(0, 1))
    def a_client_comes(self, hub: int) -> Client:
        client = Client(self.ids)
        self.everybody.append(client)
        self.run(self._connect(client, hub))
        return client

    @rule(client=clients)
    def a_client_is_cut_off(self, client: Client) -> None:
        self.run(client.disconnect())

    @rule(client=clients, hub=strategies.integers(0, 1))
    def a_client_reconnects(self, client: Client, hub: int) -> None:
        self.run(self._connect(client, hub))

    @rule(client=consumes(clients))
    def a_client_leaves(self, client: Client) -> None:
        self.everybody.remove(client)
        self.run(client.disconnect())

    @rule(client=clients)
    def a_client_stalls(self, client: Client) -> None:
        client.stall()

    @rule(client=clients)
    def a_client_takes_again(self, client: Client) -> None:
        client.resume()

    async def _connect(self, client: Client, hub: int) -> None:
        await client.disconnect()
        client.connect(self.hubs[hub], self.session_id)

    @rule(turns=strategies.integers(1, 30))
    def time_passes(self, turns: int) -> None:
        async def passing() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(passing())

    # -- what goes wrong ------------------------------------------------------------------------

    @precondition(lambda self: self.exists)
    @rule(keep=strategies.integers(0, 10))
    def the_log_is_trimmed(self, keep: int) -> None:
        log = SessionKeys.of(self.session_id).log
        self.run(
            self._retry_until_available(
                lambda: self.redis.xtrim(log, maxlen=keep, approximate=False)
            )
        )

    @precondition(lambda self: self.exists)
    @rule(name=strategies.sampled_from(("log", "tail")))
    def a_key_of_the_log_is_evicted(self, name: str) -> None:
        key = f"{SessionKeys.of(self.session_id).channel}:{name}"
        self.run(self._retry_until_available(lambda: self.redis.delete(key)))

    @precondition(lambda self: self.exists and self.settings.tail_check_s < NEVER_S)
    @rule()
    def the_state_is_evicted(self) -> None:
        """The session is gone, for all, as soon as it is noticed."""
        self.run(self._lose_state())

    async def _lose_state(self) -> None:
        state = SessionKeys.of(self.session_id).state
        await self._retry_until_available(lambda: self.redis.delete(state))
        with pytest.raises(SessionNotFound):
            await self._retry_until_available(lambda: self.log.snapshot(self.session_id))
        self._forget()

    @precondition(lambda self: self.settings.tail_check_s < NEVER_S)
    @rule()
    def the_library_is_flushed(self) -> None:
        """The next event begins a new epoch, as after a restart, and nothing is lost."""
        self.run(
            self._retry_until_available(lambda: self.redis.execute_command("FUNCTION", "FLUSH"))
        )

    @rule()
    def the_news_connections_are_killed(self) -> None:
        command = ("CLIENT", "KILL", "TYPE", "pubsub")
        self.run(self._retry_until_available(lambda: self.redis.execute_command(*command)))

    @precondition(lambda self: self.exists and self.settings.tail_check_s < NEVER_S)
    @rule(again=strategies.booleans())
    def the_session_expires(self, again: bool) -> None:
        self.run(self._expire())
        if again:
            self.the_session_is_made_again()

    async def _expire(self) -> None:
        base = SessionKeys.of(self.session_id).channel
        keys = await self._retry_until_available(lambda: self.redis.keys(f"{base}:*"))
        await self._retry_until_available(lambda: self.redis.delete(*keys))
        self._forget()

    def _forget(self) -> None:
        self.exists = False
        self.generation += 1
        self.model = Model()

    @precondition(lambda self: not self.exists)
    @rule()
    def the_session_is_made_again(self) -> None:
        self.run(self._retry_until_available(lambda: self.log.create(self.session_id, "first")))
        self.exists = True

    @rule()
    def the_server_saves(self) -> None:
        self.run(self._save())

    async def _save(self) -> None:
        await self._retry_until_available(lambda: self.redis.execute_command("SAVE"))
        self.saved = (copy.deepcopy(self.model), self.exists)

    @precondition(lambda self: self.settings.tail_check_s < NEVER_S)
    @rule()
    def the_server_crashes(self) -> None:
        """It comes back with what it had saved: what it acknowledged since is gone."""
        self.server.kill()
        self.server.start()
        self.crashes += 1
        small_nodes(self.server)
        if self.exists and not self.saved[1]:
            self.generation += 1
        self.model, self.exists = copy.deepcopy(self.saved[0]), self.saved[1]
        for client in self.everybody:
            client.may_go_back = True

    @precondition(lambda self: self.settings.tail_check_s < NEVER_S)
    @rule(
        which=producers,
        step_id=step_ids,
        kept=strategies.integers(1, 5),
        lost=strategies.integers(1, 150),
        ended=strategies.booleans(),
        seen=strategies.booleans(),
    )
    def the_server_crashes_while_text_is_streaming(
        self, which: Any, step_id: str, kept: int, lost: int, ended: bool, seen: bool
    ) -> None:
        """Its tail was saved with a few pieces in it; clients are ahead of it afterwards."""
        if not self._usable(which):
            return
        self.a_step(which, "step.start", step_id, None, "")
        self._pieces(which, step_id, kept)
        self.the_server_saves()
        self._pieces(which, step_id, lost)
        if ended:
            self.a_step(which, "step.end", step_id, None, "the whole text")
        if seen:
            self.things_settle()
        self.the_server_crashes()

    def _pieces(self, which: Any, step_id: str, count: int) -> None:
        for n in range(count):
            self._send(which, [delta_event(step_id, f"{n} ")])

    # -- what must be true ----------------------------------------------------------------------

    @rule()
    def things_settle(self) -> None:
        self.run(self._settle())

    async def _settle(self) -> None:
        for number, client in enumerate(self.everybody):
            client.resume()
            client.check()
            if client.lost:
                await self._connect(client, number % 2)
        if not self.exists:
            if self.settings.tail_check_s < NEVER_S:
                await self._until(lambda: all(client.lost for client in self.everybody))
            return
        # An epoch that began without an event is told by the next one.
        snapshot = await self._retry_until_available(lambda: self.log.snapshot(self.session_id))
        top = Cursor.parse(snapshot.cursor)
        state: dict[str, Any] = json.loads(snapshot.to_json())
        assert self.model.same_as(state), (self.model, state)
        counts = await self._retry_until_available(lambda: counted(self.redis, self.session_id))
        assert counts == await self._retry_until_available(
            lambda: recounted(self.redis, self.session_id)
        )
        for number, client in enumerate(self.everybody):
            await self._until(
                lambda client=client: client.lost or client.view.cursor == top,
                lambda client=client: f"client at {client.view.cursor}, log at {top}",
            )
            while client.lost:
                # Let go while the session was away: a browser comes back by itself.
                client.check()
                await self._connect(client, number % 2)
                await self._until(
                    lambda client=client: client.lost or client.view.cursor == top,
                    lambda client=client: f"client at {client.view.cursor}, log at {top}",
                )
            client.check()
            assert client.view.same_as(state), (client.view, state)

    async def _until(self, true: Any, state: Any = lambda: "") -> None:
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while not true():
            if asyncio.get_running_loop().time() > deadline:
                feeds = [
                    (
                        feed.position,
                        feed.readers,
                        len(feed.subscribers),
                        feed.gone,
                        feed.quiet_checks,
                    )
                    for hub in self.hubs
                    for feed in hub._feeds.values()
                ]
                pytest.fail(f"it does not settle: {state()}; feeds: {feeds}")
            await asyncio.sleep(0.002)


def small_nodes(server: EmbeddedServer) -> None:
    """``MAXLEN ~`` then cuts closely."""
    # Over a connection of its own: those that are tested must find out by themselves that the
    # server is another process.
    with SyncRedis.from_url(server.url) as redis:
        redis.config_set("stream-node-max-entries", "5")


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with embedded_server() as server:
        small_nodes(server)
        yield server


@pytest.mark.timeout(max(180, EXAMPLES * 10))
def test_every_client_has_what_the_log_says_whatever_happens(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README, guarantee 2: exactly once within the log, a true snapshot beyond it."""
    monkeypatch.setattr(reading_module, "READ_EVENTS", 7)
    monkeypatch.setattr(reading_module, "READ_BYTES", 1_000)
    monkeypatch.setattr(_feed, "WRITE_BYTES", 500)
    Delivery.server = own_server
    run_state_machine_as_test(
        Delivery,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            # Each case takes real time: what shrinking saves to read it costs to wait for.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )

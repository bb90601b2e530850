"""Which job comes next, and what holds one back: the scripts of the queue, on real servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.asyncio import Redis

from event_log import client_of
from stepwire._runs.activity import Activity
from stepwire._worker.heartbeat import Registration
from stepwire._worker.lease import Lease, LeaseKeeper
from stepwire._worker.queue_client import Claims
from stepwire_core.errors import SideTaskFailed, StepwireError
from stepwire_core.process.redis_rights import Needs
from stepwire_core.queue.listing import read_queue
from stepwire_core.queue.run_queue import JobKeys, RunQueue
from stepwire_core.redis.commands import Call
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.wire.run_request import RunRequest
from topologies import SINGLE, Topologies, on_each

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000


class Queue:
    """A queue of its own, seen from several workers."""

    def __init__(self, store: Store, settings: Settings, redis: Redis) -> None:
        """``redis`` is for what only a test does."""
        self.store = store
        self.redis = redis
        self.settings = settings
        self.name = settings.queue_name
        self.runs = RunQueue(store, self.name)
        self.worker = self.new_worker()

    def new_worker(self, limits: Mapping[str, int] | None = None, **settings: Any) -> Claims:
        return Claims(self.store, self.settings.model_copy(update=settings), limits or {})

    async def add(
        self,
        *names: str,
        handler: str = "task",
        priority: int = 0,
        subject: str | None = None,
        defer_s: float = 0.0,
    ) -> None:
        for name in names:
            request = RunRequest(
                session_id="s",
                run_id=self.run_id(name),
                handler=handler,
                priority=priority,
                subject=subject,
            )
            await self.runs.enqueue(request, defer_s=defer_s)

    def run_id(self, name: str) -> str:
        """Says which queue it belongs to, so that :meth:`keys` finds all that is of it."""
        return f"{self.name.replace(':', '.')}.{name}"

    def names(self, leases: Sequence[Lease]) -> list[str]:
        return [lease.job_id.rpartition(".")[2] for lease in leases]

    async def claimed(self, worker: Claims | None = None, room: int = 10) -> list[str]:
        return self.names(await self.leases(worker, room=room))

    async def leases(
        self, worker: Claims | None = None, *, own: Sequence[str] = (), room: int = 10
    ) -> list[Lease]:
        return [each.lease for each in await (worker or self.worker).claim(room, own)]

    async def pass_time(self, name: str, ms: int) -> None:
        """It stands where it would stand if that much time had passed."""
        await self.redis.zincrby(self.name, -ms, self.run_id(name))

    async def lose(self, name: str) -> None:
        """Its worker has not been heard of for longer than a lease."""
        await self.redis.delete(JobKeys.of(self.name, self.run_id(name)).taken)
        await self.pass_time(name, int(self.settings.lease_s * 1000))

    def keeper(
        self,
        leases: list[Lease],
        *,
        lost: Callable[[list[Lease]], object] = lambda _: None,
        turned: Callable[[], object] = lambda: None,
        failed: Callable[[StepwireError], object] = lambda _: None,
    ) -> LeaseKeeper:
        registration = Registration(
            self.settings,
            [],
            [],
            Activity(),
            places_taken=lambda: 0,
            stopping=lambda: False,
            stalled=lambda: False,
        )
        return LeaseKeeper(
            self.settings,
            registration,
            self.worker.token,
            running=lambda: leases,
            lost=lost,
            poke_loop=turned,
            fail=failed,
        )

    async def woken(self) -> list[str]:
        names: Any = await self.redis.lrange(f"{self.name}:wake", 0, -1)  # type: ignore[misc]
        await self.redis.delete(f"{self.name}:wake")
        return [name.decode().rpartition(".")[2] for name in names]

    async def keys(self) -> set[str]:
        found = [key.decode() for key in await self.redis.keys(f"*{self.name}*")]
        found += [key.decode() for key in await self.redis.keys(f"*{self.run_id('')}*")]
        return {key for key in found if not key.endswith(":wake")}


@pytest.fixture(params=on_each(*SINGLE))
async def queue(
    request: pytest.FixtureRequest, topologies: Topologies, settings: Settings
) -> AsyncIterator[Queue]:
    url = topologies.url(request.param)
    # With the rights in the documents, and no others.
    needs = Needs.of_queue(url, settings.queue_name, takes_runs=True)
    # Some tests have a second queue, or jobs of an older version.
    url = topologies.url_of_a_user(request.param, needs, "~queue:*", "~arq:*")
    settings = settings.model_copy(update={"redis_url": url})
    primary = topologies.primary(request.param, settings.queue_name)
    async with open_store(url) as store, Redis(port=primary.port) as redis:
        yield Queue(store, settings, redis)


async def test_the_higher_priority_goes_first_and_the_older_of_the_same(queue: Queue) -> None:
    await queue.add("a", "b")
    await queue.add("c", priority=5)
    await queue.add("d", priority=9)
    await queue.add("e", priority=5)
    assert await queue.claimed(room=2) == ["d", "c"]
    assert await queue.claimed() == ["e", "a", "b"]
    assert await queue.claimed() == []


async def test_whoever_has_waited_long_enough_goes_before_a_higher_priority(queue: Queue) -> None:
    await queue.add("old", "new")
    await queue.add("higher", priority=2)
    await queue.pass_time("old", 2 * HOUR_MS + 1000)
    await queue.pass_time("new", 2 * HOUR_MS - 60_000)
    assert await queue.claimed() == ["old", "higher", "new"]


async def test_a_deferred_run_waits_for_its_time_and_then_has_its_priority(queue: Queue) -> None:
    await queue.add("later", priority=3, defer_s=60)
    await queue.add("sooner")
    assert await queue.claimed(room=0) == []
    await queue.pass_time("later", 59_000)
    await queue.claimed(room=0)
    await queue.pass_time("later", 1_000)
    assert await queue.claimed() == ["later", "sooner"]


async def test_a_run_whose_worker_was_lost_goes_before_all_others(queue: Queue) -> None:
    await queue.add("lost")
    assert await queue.claimed() == ["lost"]
    await queue.add("a", priority=9)
    await queue.lose("lost")
    assert await queue.claimed(queue.new_worker()) == ["lost", "a"]


async def test_a_run_that_was_given_back_is_due_when_it_was_said(queue: Queue) -> None:
    await queue.add("now", "later")
    for lease, due_in_s in zip(await queue.leases(queue.worker, room=2), (0, 60), strict=True):
        await queue.worker.settle(lease, due_in_s=due_in_s)
    assert await queue.woken() == ["now", "later", "now"]
    assert await queue.claimed() == ["now"]
    await queue.pass_time("later", 60_000)
    assert await queue.claimed() == ["later"]


async def test_a_handler_runs_no_more_often_than_it_may_and_keeps_nobody_waiting(
    queue: Queue,
) -> None:
    one, other = queue.new_worker({"slow": 1}), queue.new_worker({"slow": 1})
    await queue.add("a", "b", "c", handler="slow")
    await queue.add("quick")
    await queue.woken()
    leases = await queue.leases(one, room=10)
    assert queue.names(leases) == ["a", "quick"]
    assert await queue.claimed(other) == []
    states = {run.run_id: run.state for run in await read_queue(queue.store, queue.name, 10)}
    assert [states[queue.run_id(name)] for name in "abc"] == ["running", "held", "held"]
    await one.settle(leases[0], due_in_s=None)
    assert await queue.woken() == ["b"]
    await queue.add("d", handler="slow", priority=9)
    [lease] = await queue.leases(other, room=1)
    assert queue.names([lease]) == ["d"]
    await other.settle(lease, due_in_s=None)
    assert await queue.claimed(other) == ["b"]


async def test_a_subject_has_no_more_runs_than_it_may_and_others_go_on(queue: Queue) -> None:
    worker = queue.new_worker(max_running_per_subject=2)
    await queue.add(*(f"a{i}" for i in range(100)), subject="a")
    await queue.add("b", subject="b")
    await queue.add("nobodys", "nobodys2", "nobodys3")
    leases = await queue.leases(worker, room=5)
    assert queue.names(leases) == ["a0", "a1", "b", "nobodys", "nobodys2"]
    for lease in leases[:2]:
        await worker.settle(lease, due_in_s=None)
    assert await queue.claimed(worker, room=4) == ["a2", "a3", "nobodys3"]


async def test_who_is_held_back_by_one_limit_keeps_no_place_of_another(queue: Queue) -> None:
    worker = queue.new_worker({"slow": 1}, max_running_per_subject=1)
    await queue.add("first", handler="slow", subject="a")
    [first] = await queue.leases(worker, room=10)
    # Held back for the handler, though their subjects are free.
    await queue.add("second", "third", handler="slow", subject="b")
    await queue.add("quick", subject="b")
    [quick] = await queue.leases(worker, room=10)
    assert queue.names([quick]) == ["quick"]
    await queue.add("alone", handler="slow", subject="c")
    assert await queue.claimed(worker) == []
    await queue.woken()
    await worker.settle(first, due_in_s=None)
    # Called for the handler, "second" is held back for its subject; "alone" gets the place at last.
    for name in ("second", "third", "alone"):
        assert await queue.woken() == [name]
        assert await queue.claimed(worker) == (["alone"] if name == "alone" else [])


async def test_a_lost_worker_keeps_no_place(queue: Queue) -> None:
    worker = queue.new_worker({"slow": 1})
    await queue.add("a", "b", handler="slow")
    assert await queue.claimed(worker) == ["a"]
    await queue.lose("a")
    survivor = queue.new_worker({"slow": 1})
    [lease] = await queue.leases(survivor, room=10)
    assert queue.names([lease]) == ["a"]
    await survivor.settle(lease, due_in_s=None)
    assert await queue.claimed(survivor) == ["b"]


async def test_who_is_held_back_and_never_called_is_looked_at_again(queue: Queue) -> None:
    """Whoever had the place died over it; or a worker with a higher limit was deployed."""
    worker = queue.new_worker({"slow": 1})
    await queue.add("a", "b", handler="slow")
    await queue.add("later")
    assert await queue.claimed(worker) == ["a", "later"]
    await queue.add("c", handler="slow", priority=1)
    await queue.pass_time("b", 30_000)
    # It stands where it stood, behind the higher one.
    assert await queue.claimed(queue.new_worker({"slow": 3}), room=2) == ["c", "b"]


async def test_who_waits_for_something_gives_its_places_to_others(queue: Queue) -> None:
    worker = queue.new_worker({"slow": 1}, max_running_per_subject=1)
    await queue.add("a", "b", "c", handler="slow", subject="x")
    [a] = await queue.leases(worker, room=10)
    a.waits = 2
    await worker.adjust_slots(a)
    [b] = await queue.leases(worker, room=10)
    assert queue.names([b]) == ["b"]
    a.waits = 1
    await worker.adjust_slots(a)
    await queue.add("d", handler="slow", subject="x", priority=1)
    assert await queue.claimed(worker) == []
    a.waits = 0
    await worker.adjust_slots(a)
    await worker.settle(b, due_in_s=None)
    # It is back, so no slot is free yet.
    assert await queue.claimed(worker) == []
    await worker.settle(a, due_in_s=None)
    assert await queue.claimed(worker) == ["d"]


async def test_a_cancelled_run_that_was_held_back_leaves_its_place_to_the_next(
    queue: Queue,
) -> None:
    worker = queue.new_worker({"slow": 1})
    await queue.add("a", "gone", "b", "c", handler="slow")
    [a] = await queue.leases(worker, room=10)
    await queue.redis.zrem(queue.name, gone := queue.run_id("gone"))
    await queue.redis.delete(JobKeys.of(queue.name, gone).job)
    assert await queue.runs.take(queue.run_id("b"), 15) is not None
    await queue.runs.finish(queue.run_id("b"))
    await worker.settle(a, due_in_s=None)
    [c] = await queue.leases(worker, room=10)
    assert queue.names([c]) == ["c"]
    await worker.settle(c, due_in_s=None)
    assert await queue.keys() == set()


async def test_a_worker_does_not_claim_what_it_still_executes(queue: Queue) -> None:
    await queue.add("a")
    [lease] = await queue.leases(queue.worker, room=10)
    await queue.lose("a")
    assert await queue.leases(own=[lease.job_id]) == []
    assert await queue.redis.zscore(queue.name, lease.job_id) is not None


async def test_a_lease_that_a_clock_has_made_long_ends_in_time(queue: Queue) -> None:
    """The clock of the server has gone back by an hour: the end of a lease is in an hour."""
    await queue.add("dead", "alive")
    _, alive = await queue.leases(queue.worker)
    taken = {name: JobKeys.of(queue.name, queue.run_id(name)).taken for name in ("dead", "alive")}
    for name, key in taken.items():
        await queue.pass_time(name, -HOUR_MS)
        await queue.redis.pexpire(key, HOUR_MS)
    other = queue.new_worker()
    assert await queue.claimed(other) == []
    lease_ms = int(queue.settings.lease_s * 1000)
    assert max([await queue.redis.pttl(key) for key in taken.values()]) <= 5 * lease_ms
    alive.until_ms = int(cast("float", await queue.redis.zscore(queue.name, alive.job_id)))
    renewed = threading.Event()
    with queue.keeper([alive], turned=renewed.set):
        assert await asyncio.to_thread(renewed.wait, 10)
    await queue.redis.delete(taken["dead"])
    await queue.pass_time("dead", 5 * lease_ms)
    assert await queue.claimed(other) == ["dead"]


async def test_who_has_lost_a_run_does_not_settle_it(queue: Queue) -> None:
    await queue.add("a")
    [lost] = await queue.leases(queue.worker, room=10)
    await queue.lose("a")
    other = queue.new_worker()
    [lease] = await queue.leases(other, room=10)
    await queue.worker.settle(lost, due_in_s=None)
    await queue.worker.settle(lost, due_in_s=0)
    assert await queue.claimed() == []
    await other.settle(lease, due_in_s=0)
    assert await queue.claimed() == ["a"]


async def test_nothing_is_due_in_an_empty_queue_or_before_its_time(queue: Queue) -> None:
    assert not await queue.worker.is_something_due()
    await queue.add("later", defer_s=60)
    assert await queue.claimed() == []
    assert not await queue.worker.is_something_due()
    await queue.pass_time("later", 60_000)
    assert await queue.worker.is_something_due()
    assert await queue.claimed() == ["later"]
    await queue.add("now")
    assert await queue.worker.is_something_due()


async def test_a_lease_whose_renewal_was_not_heard_of_is_not_lost(queue: Queue) -> None:
    """The server has renewed it, and its reply was lost."""
    await queue.add("ours", "theirs")
    ours, theirs = await queue.leases(queue.worker, room=10)
    lost: list[Lease] = []
    heard = threading.Event()

    def tell(leases: list[Lease]) -> None:
        lost.extend(leases)
        heard.set()

    other = queue.new_worker()
    await queue.lose("theirs")
    assert await queue.claimed(other) == ["theirs"]
    await queue.redis.zincrby(queue.name, 5_000, ours.job_id)
    with queue.keeper([ours, theirs], lost=tell):
        assert await asyncio.to_thread(heard.wait, 10)
    assert lost == [theirs]
    score = await queue.redis.zscore(queue.name, ours.job_id)
    assert score == ours.until_ms


async def test_what_is_executed_is_there_although_the_queue_is_lost(queue: Queue) -> None:
    await queue.add("executed", "waits")
    [lease] = await queue.leases(room=1)
    await queue.redis.delete(*await queue.keys())
    assert not await queue.runs.has(queue.run_id("executed"))
    turned = threading.Event()
    with queue.keeper([lease], turned=turned.set):
        assert await asyncio.to_thread(turned.wait, 10)
        assert await queue.runs.has(queue.run_id("executed"))
        assert not await queue.runs.has(queue.run_id("waits"))
        # Asked for once more it waits until its worker has done with it, and then it is done.
        await queue.add("executed")
        assert await queue.claimed(queue.new_worker()) == []
    await queue.worker.settle(lease, due_in_s=None)
    assert not await queue.runs.has(queue.run_id("executed"))


async def test_a_keeper_that_fails_says_so_before_others_take_the_runs(queue: Queue) -> None:
    """The failure is none that the keeper knows how to handle."""
    failed = asyncio.Queue[StepwireError]()
    loop = asyncio.get_running_loop()
    no_id = Lease(cast("str", object()), 0)

    def told(error: StepwireError) -> None:
        loop.call_soon_threadsafe(failed.put_nowait, error)

    with queue.keeper([no_id], failed=told):
        async with asyncio.timeout(10):
            error = await failed.get()
    assert isinstance(error, SideTaskFailed)
    assert error.part == "stepwire-lease"


async def test_leases_and_due_times_go_by_the_server_whatever_the_worker_thinks(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    await queue.add("a", "b")
    [a, b] = await queue.leases(queue.worker, room=10)
    seconds, _ = await queue.redis.time()
    assert abs(a.until_ms - (seconds + queue.settings.lease_s) * 1000) < 5_000
    await queue.worker.settle(a, due_in_s=0)
    await queue.worker.settle(b, due_in_s=60)
    assert await queue.claimed() == ["a"]


async def inside(queue: Queue, call: Callable[[], Awaitable[Any]]) -> list[dict[str, int]]:
    """What the calls of scripts have called, one after another."""
    calls: list[dict[str, int]] = []

    async def counted() -> dict[str, int]:
        stats = await queue.redis.info("commandstats")
        return {key.removeprefix("cmdstat_"): stat["calls"] for key, stat in stats.items()}

    store: Any = queue.store
    plain = store.call

    async def counting(made: Call, **options: Any) -> Any:
        if made.script is None:
            return await plain(made, **options)
        before = await counted()
        reply = await plain(made, **options)
        after = await counted()
        names = after.keys() - {"info", "evalsha", "script|load"}
        calls.append({name: after[name] - before.get(name, 0) for name in names})
        return reply

    store.call = counting
    try:
        await call()
    finally:
        store.call = plain
    return calls


async def test_a_claim_looks_at_few_jobs_at_a_time_and_at_the_body_of_none_that_it_leaves(
    queue: Queue,
) -> None:
    worker = queue.new_worker({"slow": 150})
    first = [f"first{number}" for number in range(150)]
    await queue.add(*first, handler="slow")
    await queue.claimed(worker, room=150)
    await queue.add(*(f"slow{number}" for number in range(450)), handler="slow")
    await queue.add("quick")
    taken: list[str] = []

    async def claim() -> None:
        taken.extend(await queue.claimed(worker))

    calls = await inside(queue, claim)
    # None is between them and the one that no limit holds back.
    assert taken == ["quick"]
    assert sum(call.get("get", 0) for call in calls) == 1
    assert len(calls) >= 4
    assert all(sum(call.values()) < 1_200 for call in calls)


async def test_the_same_run_may_be_in_two_queues(queue: Queue, settings: Settings) -> None:
    renamed = settings.model_copy(update={"queue_name": f"{queue.name}.other"})
    other = Queue(queue.store, renamed, queue.redis)
    request = RunRequest(session_id="s", run_id=queue.run_id("same"), handler="task")
    for each in (queue, other):
        await each.runs.enqueue(request)
        assert await each.runs.has(request.run_id)
    [here] = await queue.worker.claim(10, [])
    assert here.request() is not None
    [there] = await other.worker.claim(10, [])
    assert there.request() is not None
    await queue.worker.settle(here.lease, due_in_s=None)
    assert not await queue.runs.has(request.run_id)
    assert await other.runs.has(request.run_id)


async def test_the_lost_worker_of_another_keeps_no_place_when_its_lease_is_over(
    queue: Queue,
) -> None:
    worker = queue.new_worker({"slow": 2})
    await queue.add("a", "b", "c", "d", handler="slow")
    assert await queue.claimed(worker) == ["a", "b"]
    await queue.lose("a")
    assert await queue.claimed(worker, room=2) == ["a"]


async def test_a_job_that_an_older_version_has_queued_is_executed_with_its_limits(
    queue: Queue,
) -> None:
    await queue.add("a", "b", handler="slow", priority=2)
    await queue.add("c", handler="quick")
    for name in ("a", "b", "c"):
        run_id = queue.run_id(name)
        await queue.redis.rename(JobKeys.of(queue.name, run_id).job, f"arq:job:{run_id}")
    await queue.redis.delete(f"{queue.name}:about")
    worker = queue.new_worker({"slow": 1})
    claimed = await worker.claim(10, [])
    assert queue.names([each.lease for each in claimed]) == ["a", "c"]
    requests = [each.request() for each in claimed]
    assert [request and request["handler"] for request in requests] == ["slow", "quick"]
    for each in claimed:
        await worker.settle(each.lease, due_in_s=None)
    [b] = await queue.leases(worker)
    await worker.settle(b, due_in_s=None)
    assert await queue.keys() == set()


async def test_a_job_that_has_expired_is_claimed_without_its_body(queue: Queue) -> None:
    await queue.add("a")
    await queue.redis.delete(JobKeys.of(queue.name, queue.run_id("a")).job, f"{queue.name}:about")
    [expired] = await queue.worker.claim(10, [])
    assert (expired.job, expired.request(), expired.tried) == (None, None, 1)
    await queue.worker.settle(expired.lease, due_in_s=None)
    assert await queue.keys() == set()


async def test_an_expired_job_needs_no_right_beyond_its_queue(
    topologies: Topologies, settings: Settings
) -> None:
    needs = Needs.of_queue(topologies.url("standalone"), settings.queue_name, takes_runs=True)
    url = topologies.url_of_a_user("standalone", needs)
    async with open_store(url) as store:
        queue = Queue(store, settings.model_copy(update={"redis_url": url}), client_of(store))
        await queue.add("a", "b")
        run_id = queue.run_id("a")
        await queue.redis.delete(JobKeys.of(queue.name, run_id).job, f"{queue.name}:about")
        expired, other = await queue.worker.claim(10, [])
        assert (expired.job, other.job is None) == (None, False)

"""Workers that are killed, paused and told to stop while clients send messages. Beside them are
handlers that do what nobody should do, and moments in which Redis or the way to it fails."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from redis import Redis

from faults import moments
from faults.clients import Clients, Conversation, Fleet, Harassment
from faults.judge import Judge
from faults.moments import Moment, Pair, Schedule
from faults.plan import MOMENTS, Plan, Report
from faults.work import Work
from proxy import Proxy
from stack import Gateway, wait_until
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server, free_port

APP: Final = Path(__file__).with_name("app.py")
LEASE_S: Final = 2.0
RESTARTING_S: Final = 1.0
STOPPING_S: Final = 20.0
"""A worker that was told to stop is gone by then: its grace time is a second."""


class Storm:
    """One plan, carried out against a server of its own."""

    def __init__(self, plan: Plan, folder: Path, server: EmbeddedServer) -> None:
        self._plan = plan
        self._folder = folder
        self._server = server
        self._chance = random.Random(plan.seed)
        self._children: list[Child] = []
        self._paused: list[tuple[float, Child]] = []
        self._exit = ExitStack()
        self._deadline = time.monotonic() + plan.limit_s
        self._stopping: list[tuple[float, Child]] = []
        self.report = Report()
        self._judge = Judge(self.report)
        # Its connections are bounded in number: only who needs it goes through it.
        behind = {"silence", "failover"} & set(plan.moments)
        self._proxy = self._exit.enter_context(Proxy(server.port)) if behind else None
        self._pair = self._paired() if "failover" in plan.moments else None
        self.fleets = [self._fleet("often", 50, 3), self._fleet("once", 1, 1)]
        self.conversations = self._conversations()
        self.harassments = [Harassment(task, self.fleets[0], plan.repeats) for task in plan.hostile]

    @property
    def _url(self) -> str:
        """Where the log is now, past any proxy."""
        return self._server.url if self._pair is None else self._pair.primary.url

    @property
    def _sessions(self) -> list[str]:
        talks = [each.session_id for each in self.conversations]
        return talks + [each.session_id for each in self.harassments]

    def _paired(self) -> Pair:
        assert self._proxy is not None
        folder = Path(tempfile.mkdtemp(prefix="replica-", dir=self._folder))
        replica = EmbeddedServer(free_port(), folder, append_only=True)
        replica.start()
        self._exit.callback(replica.stop)
        return Pair(self._server, replica, self._proxy)

    def _moment(self, name: str, redis: Redis) -> Moment:
        match name:
            case "noreplicas":
                return moments.no_replicas(redis)
            case "misconf":
                return moments.misconf(redis, self._server.directory)
            case "busy":
                return moments.busy(redis)
            case "unreadable":
                return moments.unreadable(redis, lambda: self._sessions)
            case "silence" if self._proxy is not None:
                return moments.silence(self._proxy)
            case "failover" if self._pair is not None:
                return moments.failover(
                    self._pair, lambda redis: self._judge.remember(redis, self._sessions)
                )
        raise ValueError(f"{name!r} is not among {', '.join(MOMENTS)}, failover")

    def _fleet(self, queue: str, max_attempts: int, size: int) -> Fleet:
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(APP.parents[1]), os.environ.get("PYTHONPATH", "")]),
            "STEPWIRE_REDIS_URL": self._server.url if self._proxy is None else self._proxy.url,
            "STEPWIRE_ENV_FILE": "",
            "STEPWIRE_QUEUE_NAME": queue,
            "STEPWIRE_MAX_ATTEMPTS": str(max_attempts),
            "STEPWIRE_LEASE_S": str(LEASE_S),
            "STEPWIRE_GRACE_S": "1",
            "STEPWIRE_LOG_MAX_EVENTS": "1000000",
        }
        port = free_port()
        child = child_processes.gateway(env, port=port, log=self._log("gateway"))
        gateway = Gateway(child, port)
        self._exit.callback(gateway.client.close)
        return Fleet(queue, max_attempts, size, gateway, env)

    def _conversations(self) -> list[Conversation]:
        left = self._plan.runs
        conversations: list[Conversation] = []
        while left > 0:
            count = min(left, self._plan.messages)
            number = len(conversations)
            conversations.append(
                Conversation(
                    f"s{number}",
                    # Every fifth is not tried again.
                    self.fleets[number % 5 == 4],
                    [Work.random(self._chance, self._plan.pace) for _ in range(count)],
                    is_hasty=number % 3 == 2,
                )
            )
            left -= count
        return conversations

    # -- the storm ------------------------------------------------------------------------------

    def run(self) -> Report:
        """Carry out the plan and judge every log."""
        started = time.monotonic()
        with self._exit:
            try:
                self._start()
                clients = Clients(self._deadline)
                with ThreadPoolExecutor(len(self._sessions)) as threads:
                    talks = [
                        *(threads.submit(clients.talk, each) for each in self.conversations),
                        *(threads.submit(clients.harass, each) for each in self.harassments),
                    ]
                    self._rage(lambda: all(talk.done() for talk in talks))
                for talk in talks:
                    if error := talk.exception():
                        self.report.violations.append(f"a client gave up: {error}")
                self._settle()
                self._pass_judgement()
            finally:
                self._end()
        self.report.took_s = time.monotonic() - started
        return self.report

    def _start(self) -> None:
        for fleet in self.fleets:
            fleet.gateway.child.start()
            self._children.append(fleet.gateway.child)
            fleet.workers = [self._worker(fleet) for _ in range(fleet.size)]
        for fleet in self.fleets:
            wait_until(fleet.gateway.ready, "the gateway answers")
            wait_until(lambda: all("worker ready" in w.output for w in fleet.workers), "workers")  # noqa: B023

    def _worker(self, fleet: Fleet) -> Child:
        child = child_processes.worker(APP, fleet.env, log=self._log("worker"))
        child.start()
        self._children.append(child)
        return child

    def _rage(self, over: Callable[[], bool]) -> None:
        """A fault every second, until all that was sent is answered."""
        next_at = started_at = time.monotonic()
        restart_at = started_at + 3 * self._plan.every_s if self._plan.restart_redis else None
        redis = self._exit.enter_context(Redis.from_url(self._server.url))
        schedule = Schedule([self._moment(name, redis) for name in self._plan.moments])
        self._exit.callback(schedule.end)
        while not (over() and schedule.is_complete) and time.monotonic() < self._deadline:
            self._continue_paused()
            self._replace_dead()
            self._look_at_stopping()
            is_storm = time.monotonic() < started_at + self._plan.storm_s
            if name := schedule.look(begin=is_storm or not schedule.is_complete):
                self.report.faults[name] += 1
            if restart_at is not None and time.monotonic() > restart_at:
                restart_at = None
                self._restart_redis()
            if next_at <= time.monotonic() < started_at + self._plan.storm_s:
                next_at += self._plan.every_s
                self._fault()
            time.sleep(0.05)
        self._continue_paused(now=True)

    def _fault(self) -> None:
        paused = [child for _, child in self._paused]
        candidates = [
            (fleet, worker)
            for fleet in self.fleets
            for worker in fleet.workers
            # One that only starts has nothing to lose.
            if worker not in paused and "worker ready" in worker.output
        ]
        if not candidates:
            return
        fleet, worker = self._chance.choice(candidates)
        fault = self._chance.choice(["SIGKILL", "SIGSTOP", "SIGTERM"])
        self.report.faults[fault] += 1
        if fault == "SIGSTOP":
            worker.signal(signal.SIGSTOP)
            pause_s = LEASE_S + self._chance.uniform(0.3, 1.5)
            self._paused.append((time.monotonic() + pause_s, worker))
            return
        if fault == "SIGKILL":
            worker.kill()
        else:
            worker.signal(signal.SIGTERM)
            self._stopping.append((time.monotonic() + STOPPING_S, worker))
        fleet.workers.remove(worker)
        fleet.workers.append(self._worker(fleet))

    def _replace_dead(self) -> None:
        """As a supervisor does: a worker that starts while Redis is away ends with one line. One
        that was ready goes on, whatever its handlers and Redis do."""
        for fleet in self.fleets:
            for number, worker in enumerate(fleet.workers):
                if worker.exit_code is not None:
                    if "worker ready" in worker.output:
                        self._note_exit(worker)
                    fleet.workers[number] = self._worker(fleet)

    def _note_exit(self, worker: Child) -> None:
        last = worker.output.strip().rpartition("\n")[2]
        self.report.violations.append(
            f"a worker has ended by itself with exit code {worker.exit_code}: {last}"
        )

    def _look_at_stopping(self) -> None:
        for until, worker in list(self._stopping):
            if worker.exit_code is not None:
                self._stopping.remove((until, worker))
            elif time.monotonic() > until:
                self._stopping.remove((until, worker))
                last = worker.output.strip().rpartition("\n")[2]
                self.report.violations.append(
                    f"a worker is there {STOPPING_S:g} s after it was told to stop: {last}"
                )

    def _continue_paused(self, *, now: bool = False) -> None:
        for until, worker in list(self._paused):
            if now or time.monotonic() > until:
                worker.signal(signal.SIGCONT)
                self._paused.remove((until, worker))

    def _restart_redis(self) -> None:
        """A crash; what the logs held is read from a copy, since a new epoch begins a new stream.

        The copy is what was on the disk, so nothing that was acknowledged may be missing in it.
        """
        self.report.faults["Redis restarted"] += 1
        self._server.kill()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            data = Path(folder, "data")
            shutil.copytree(self._server.directory, data)
            copy = EmbeddedServer(free_port(), data, append_only=True)
            copy.start()
            try:
                with Redis.from_url(copy.url) as redis:
                    self._judge.remember(redis, self._sessions)
            finally:
                copy.stop()
            time.sleep(RESTARTING_S)
        self._server.start()

    # -- afterwards -----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Let those that were paused find out what they have missed, and the queues run empty."""
        with Redis.from_url(self._url) as redis:

            def settled() -> bool:
                return not any(redis.zcard(fleet.queue) for fleet in self.fleets)

            try:
                wait_until(settled, "the queues are empty", limit_s=LEASE_S * 3 + 10)
            except AssertionError:
                for fleet in self.fleets:
                    jobs: Any = redis.zrange(fleet.queue, 0, -1)
                    for job in jobs:
                        self.report.violations.append(f"left in queue {fleet.queue}: {job!r}")
            for fleet in self.fleets:
                for kind in ("taken", "held*", "has:*"):
                    for key in redis.scan_iter(f"{fleet.queue}:{kind}"):
                        self.report.violations.append(f"left in Redis: {key!r}")
        time.sleep(LEASE_S)
        self._look_at_stopping()
        for fleet in self.fleets:
            if fleet.gateway.child.exit_code is not None:
                self.report.violations.append("a gateway has ended by itself")

    def _pass_judgement(self) -> None:
        with Redis.from_url(self._url) as redis:
            for each in self.conversations:
                self._judge.conversation(redis, each)
            for other in self.harassments:
                self._judge.harassment(redis, other)
            for fleet in self.fleets:
                self._judge.dead_letters(redis, fleet)

    # -- resources ------------------------------------------------------------------------------

    def _log(self, name: str) -> Path:
        handle, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=self._folder)
        os.close(handle)
        return Path(path)

    def _end(self) -> None:
        self._continue_paused(now=True)
        for child in self._children:
            child.kill()


def carry_out(plan: Plan) -> Report:
    """Carry out a plan; the logs of its processes are printed if something is wrong."""
    with tempfile.TemporaryDirectory(prefix="stepwire-faults-") as folder:
        with embedded_server(append_only=True) as server:
            report = Storm(plan, Path(folder), server).run()
        if report.violations or os.environ.get("STEPWIRE_FAULTS_LOGS"):
            for log in sorted(Path(folder).glob("*.log"), key=lambda path: path.stat().st_ctime):
                print(f"--- {log.name}\n{log.read_text()[-6000:]}")
    return report

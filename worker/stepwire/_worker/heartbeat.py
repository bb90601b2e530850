"""What this worker process tells others about itself, for ``stepwire workers``."""

from __future__ import annotations

import os
import socket
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from stepwire_core.queue.task_registry import described, tasks_key
from stepwire_core.queue.worker_registry import worker_key, workers_key
from stepwire_core.redis.commands import command
from stepwire_core.values.clock import now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.worker_document import WorkerDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stepwire._runs.activity import Activity
    from stepwire_core.redis.commands import Call
    from stepwire_core.redis.store import BlockingStore
    from stepwire_core.settings import Settings
    from stepwire_core.wire.task_document import TaskDocument
    from stepwire_core.wire.worker_document import WorkerState

FORGOTTEN_S: Final = 3600
"""Ids of workers that have been silent for this long leave the index."""


class Registration:
    """One key per process, with the life of a lease.

    Written when it is due, and in between when something has changed; called from one thread only.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Iterable[str],
        hooks: Iterable[str],
        activity: Activity,
        *,
        tasks: Iterable[TaskDocument] = (),
        places_taken: Callable[[], int],
        left_behind: Callable[[], int] = int,
        stopping: Callable[[], bool],
        stalled: Callable[[], bool],
        max_running: Mapping[str, int] | None = None,
    ) -> None:
        self._settings = settings
        self._activity = activity
        self._places_taken = places_taken
        self._left_behind = left_behind
        self._stopping = stopping
        self._stalled = stalled
        self._written = b""
        digest, self._tasks = described(tasks)
        self._tasks_key = tasks_key(settings.queue_name, digest)
        self._is = WorkerDocument(
            id=new_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=now(),
            version=version("stepwire"),
            handlers=sorted(handlers),
            max_running=dict(max_running or {}),
            hooks=sorted(hooks),
            running=0,
            max_jobs=settings.max_jobs,
            lease_s=settings.lease_s,
            state="ready",
            tasks=digest,
        )

    def write(self, store: BlockingStore, *, due: bool, blocked: bool) -> None:
        """Tell the others how it is now.

        Raises:
            StoreUnavailable, StoreRefused: the queue's Redis does not answer, or refuses.
        """
        content = self._content(blocked=blocked)
        if content == self._written and not due:
            return
        name, index = self._settings.queue_name, workers_key(self._settings.queue_name)
        key, lease_ms = worker_key(name, self._is.id), int(self._is.lease_s * 1000)
        now_s = int(time.time())
        calls = [
            command("SET", key, content, "PX", lease_ms),
            command("ZADD", index, now_s, self._is.id),
        ]
        if not self._written:
            # Before the document that names them.
            calls.insert(0, self._tell_tasks(lease_ms))
            calls.append(command("ZREMRANGEBYSCORE", index, "-inf", now_s - FORGOTTEN_S))
        elif due:
            calls.append(command("PEXPIRE", self._tasks_key, lease_ms))
        replies = _without_error(store.call_many(calls))
        if self._written and due and replies[-1] == 0:
            # They were lost, as with a Redis that has restarted.
            _without_error(store.call_many([self._tell_tasks(lease_ms)]))
        self._written = content

    def remove(self, store: BlockingStore) -> None:
        """Leave the list of workers: the process ends in order.

        Raises:
            StoreUnavailable, StoreRefused: the queue's Redis does not answer, or refuses.
        """
        name = self._settings.queue_name
        store.call(command("DEL", worker_key(name, self._is.id)))
        store.call(command("ZREM", workers_key(name), self._is.id))

    def _tell_tasks(self, lease_ms: int) -> Call:
        return command("SET", self._tasks_key, self._tasks, "PX", lease_ms)

    def _content(self, *, blocked: bool) -> bytes:
        self._is.running = self._places_taken()
        self._is.runs = self._activity.runs
        self._is.left_behind = self._left_behind()
        self._is.state = self._state(blocked=blocked)
        return self._is.model_dump_json().encode()

    def _state(self, *, blocked: bool) -> WorkerState:
        if blocked:
            return "blocked"
        if self._stopping():
            return "stopping"
        return "stalled" if self._stalled() else "ready"


def _without_error(replies: Iterable[object]) -> list[object]:
    found = list(replies)
    for reply in found:
        if isinstance(reply, Exception):
            raise reply
    return found

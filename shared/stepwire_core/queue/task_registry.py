"""The tasks that can be run: each worker describes its own, for others to read.

A description may be large, and workers of one program have the same. So it is stored beside the
workers, under its digest, and the document of a worker, which is written again and again, has the
digest alone.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command
from stepwire_core.wire.task_document import TaskDocument, TaskDocuments, TaskEntry, TaskList
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.words import is_event_handler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stepwire_core.redis.store import Store
    from stepwire_core.wire.worker_document import WorkerDocument

_TAKE_NOTHING: Final = frozenset({"stopping", "silent"})


def tasks_key(queue_name: str, digest: str) -> str:
    """Holds the :class:`TaskDocuments` of that digest, for the length of a lease from the last
    renewal of any worker that has them."""
    return f"{queue_name}:tasks:{digest}"


def described(tasks: Iterable[TaskDocument]) -> tuple[str, bytes]:
    """The digest of these tasks, and what is stored under it."""
    listed = sorted(tasks, key=lambda task: task.name)
    content = TaskDocuments(tasks=listed).model_dump_json().encode()
    return sha256(content).hexdigest()[:32], content


class TaskRegistry:
    """Reads what the workers of a queue offer; a description is fetched and parsed once."""

    def __init__(self, store: Store, queue_name: str) -> None:
        self._store = store
        self._queue_name = queue_name
        self._known: dict[str, list[TaskDocument]] = {}

    async def offer(self) -> TaskList:
        """What the workers offer at this moment.

        Raises:
            StoreUnavailable: the queue's Redis does not answer.
        """
        workers = await read_workers(self._store, self._queue_name)
        await self._fetch({worker.tasks for worker in workers if worker.tasks is not None})
        names = {name for worker in workers for name in worker.handlers}
        described = self._described(workers)
        taking = [worker for worker in workers if worker.state not in _TAKE_NOTHING]
        return TaskList(
            tasks=[
                TaskEntry(
                    **described.get(name, TaskDocument(name=name)).model_dump(),
                    workers=sum(name in worker.handlers for worker in taking),
                )
                for name in sorted(names)
                if not is_event_handler(name)
            ],
            handlers=sorted(filter(is_event_handler, names)),
            workers=len(taking),
        )

    def _described(self, workers: Sequence[WorkerDocument]) -> dict[str, TaskDocument]:
        """Each task as the worker describes it that has begun last; a worker of an older version
        describes none."""
        oldest_first = sorted(workers, key=lambda worker: (worker.since, worker.id))
        digests = (worker.tasks for worker in oldest_first if worker.tasks is not None)
        return {task.name: task for digest in digests for task in self._known.get(digest, ())}

    async def _fetch(self, digests: set[str]) -> None:
        """Know these and no others."""
        known = {digest: self._known[digest] for digest in digests & self._known.keys()}
        missing = sorted(digests - known.keys())
        keys = [tasks_key(self._queue_name, digest) for digest in missing]
        for digest, content in zip(
            missing,
            await self._store.read(*(command("GET", key) for key in keys)),
            strict=True,
        ):
            # One that is missing is stored anew with the next renewal.
            if content is not None:
                found = readable(TaskDocuments, content, "description of tasks", digest)
                known[digest] = [] if found is None else found.tasks
        self._known = known

"""Lists of what a gateway has: sessions, runs, workers, tasks."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from stepwire.client._following import Following, OnConnection, Stream
from stepwire.client._gateway_errors import BadAnswer
from stepwire.client._requests import field_of, path_of
from stepwire_core.wire.run_entry import RunEntry
from stepwire_core.wire.session_entry import SessionEntry
from stepwire_core.wire.task_document import TaskList
from stepwire_core.wire.worker_document import WorkerDocument

if TYPE_CHECKING:
    from stepwire.client._events import Event
    from stepwire.client._requests import Requests

logger = logging.getLogger("stepwire.client")

D = TypeVar("D", bound=BaseModel)

WATCHED: Final = 50
"""Sessions of a list that is watched, unless the caller says another number."""


@dataclass(frozen=True, slots=True)
class SessionsUpdate:
    """The list of sessions, as it is now."""

    sessions: Sequence[SessionEntry]
    """The one with the newest activity first."""
    changed: Sequence[str]
    """The ids of those that came, changed or went; all of them, where the list began anew."""


async def sessions(
    requests: Requests, subject: str | None, status: str | None, title: str | None
) -> AsyncGenerator[SessionEntry, None]:
    """All pages of the list of sessions, each session once."""
    seen: set[str] = set()
    query = {"subject": subject, "status": status, "title": title}
    async for entry in _pages(requests, "sessions", SessionEntry, query):
        # One that moves to the top meanwhile is not seen twice.
        if entry.id not in seen:
            seen.add(entry.id)
            yield entry


async def runs(
    requests: Requests,
    status: Sequence[str] | None,
    handler: str | None,
    subject: str | None,
    tag: str | None,
) -> AsyncGenerator[RunEntry, None]:
    """All pages of the list of runs."""
    words = None if status is None else ",".join(status)
    query = {"status": words, "handler": handler, "subject": subject, "tag": tag}
    async for entry in _pages(requests, "runs", RunEntry, query):
        yield entry


async def workers(requests: Requests) -> list[WorkerDocument]:
    """The workers, with what they execute."""
    return _documents(WorkerDocument, await requests.json("GET", path_of("workers")), "workers")


async def retry_run(requests: Requests, run_id: str) -> str:
    """Do the work of a failed run again; the id of the new run."""
    answer = await requests.json("POST", path_of("runs", run_id, "retry"), {})
    return field_of(answer, "run_id")


async def forget_run(requests: Requests, run_id: str) -> None:
    """Take a failed run off the list."""
    await requests.json("DELETE", path_of("runs", run_id))


async def tasks(requests: Requests) -> TaskList:
    """What can be run."""
    answer = await requests.json("GET", path_of("tasks"))
    try:
        return TaskList.model_validate(answer)
    except ValidationError as error:
        raise BadAnswer(
            "the gateway's answer is not a list of tasks: check its address and version"
        ) from error


async def watch_sessions(
    requests: Requests,
    subject: str | None,
    status: str | None,
    title: str | None,
    limit: int,
    on_connection: OnConnection | None,
) -> AsyncGenerator[SessionsUpdate, None]:
    """The newest sessions, whenever something changes."""
    path = path_of("events", subject=subject, status=status, title=title, limit=str(limit))
    stream = Stream(path, None, is_dense=False, has_ids=False)
    held: dict[str, SessionEntry] = {}
    async with aclosing(Following(requests, stream, on_connection).events()) as events:
        async for event in events:
            changed = _fold(held, event)
            # A list that begins empty is news, too.
            if changed or event.type == "sessions":
                newest = sorted(held.values(), key=lambda entry: entry.updated_at, reverse=True)
                held = {entry.id: entry for entry in newest[:limit]}
                yield SessionsUpdate(list(held.values()), changed)


def _fold(held: dict[str, SessionEntry], event: Event) -> list[str]:
    """Do what an event says; the ids of what has changed. One of a newer version says nothing."""
    data = event.data
    match event.type:
        case "sessions":
            before = dict(held)
            held.clear()
            # A session stays as it was known while its server is away.
            held |= {id_: before[id_] for id_ in _unavailable(data) if id_ in before}
            held |= {entry.id: entry for entry in _documents(SessionEntry, data, "sessions")}
            return list(dict.fromkeys([*before, *held]))
        case "session":
            [entry] = _documents(SessionEntry, {"sessions": [data]}, "sessions")
            held[entry.id] = entry
            return [entry.id]
        case "session.remove":
            gone = str(data.get("id"))
            return [gone] if held.pop(gone, None) is not None else []
        case _:
            return []


async def _pages(
    requests: Requests, what: str, model: type[D], query: Mapping[str, str | None]
) -> AsyncGenerator[D, None]:
    cursor: str | None = None
    while True:
        page = await requests.json("GET", path_of(what, **query, limit="200", cursor=cursor))
        for document in _documents(model, page, what):
            yield document
        if missing := _unavailable(page):
            logger.warning(
                "sessions are left out: their server is away", extra={"sessions": len(missing)}
            )
        following = page.get("next")
        if following is None:
            return
        if not isinstance(following, str) or following == cursor:
            raise BadAnswer("the gateway's answer has no 'next': check its address and version")
        cursor = following


def _unavailable(page: Mapping[str, Any]) -> list[str]:
    """Sessions that belong on a page and that the gateway cannot ask now."""
    ids = page.get("unavailable")
    return [id_ for id_ in ids if isinstance(id_, str)] if isinstance(ids, list) else []


def _documents(model: type[D], answer: Mapping[str, Any], what: str) -> list[D]:
    try:
        return [model.model_validate(document) for document in answer[what]]
    except (ValidationError, LookupError, TypeError) as error:
        raise BadAnswer(
            f"the gateway's answer has no list of {what}: check its address and version"
        ) from error

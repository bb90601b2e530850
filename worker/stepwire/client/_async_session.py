"""One session of a gateway: what a client can do in it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stepwire.client._events import Event
from stepwire.client._following import Following, OnConnection, Stream
from stepwire.client._gateway_errors import BadAnswer
from stepwire.client._http import Upload
from stepwire.client._requests import field_of, path_of
from stepwire.client._session_tree import SessionTree
from stepwire_core.wire.documents import AskDocument, ElementDocument, ErrorInfo
from stepwire_core.wire.kinds import RUN_END, SNAPSHOT
from stepwire_core.wire.run_entry import WaitingRun

if TYPE_CHECKING:
    from stepwire.client._requests import Requests
    from stepwire.client._tree_parts import Node
    from stepwire_core.wire.documents import Submission

D = TypeVar("D", bound=BaseModel)

FileSource: TypeAlias = Path | bytes | BinaryIO
"""A file to upload: where it is, what is in it, or opened for reading as bytes."""


class RunState(BaseModel):
    """How far a run is; what is not known before its first event is None."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    handler: str | None = None
    status: str = "queued"
    """``queued``, ``running``, ``ok``, ``error``, ``cancelled``, ``interrupted``."""
    attempt: int = 0
    """0 while it is queued."""
    message_id: str | None = None
    parent_run_id: str | None = None
    retry_of: str | None = None
    """The run whose work it does again."""
    started_at: str | None = None
    ended_at: str | None = None
    error: ErrorInfo | None = None
    will_retry: bool = False

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None and not self.will_retry


class AskedFor(BaseModel):
    """The request that started a run."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    handler: str
    args: dict[str, Any] | None = None
    """Of a task, a click or a rating; None: it has none, or they are ``hidden``."""
    hidden: bool = False
    """Whether the arguments are another sender's, and not shown to this caller."""
    message_id: str | None = None
    """The message that has started it."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that the session has, and the run that it starts."""

    run_id: str
    message_id: str


class ChangedSettings(BaseModel):
    """All values of the settings after a change, and the run of the handler for it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    run_id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """An event, and the tree that it is folded into."""

    event: Event
    tree: SessionTree
    changed: Sequence[Node]
    """The steps and runs that it put, changed or removed."""


class AsyncSession:
    """One session of a gateway.

    Every call raises a :class:`GatewayError`. A request that makes something carries a key, so it
    is taken once however often it is repeated; with an ``id`` of the caller's own, also by another
    process.
    """

    def __init__(self, requests: Requests, session_id: str) -> None:
        self.id = session_id
        self._requests = requests

    # -- reading --------------------------------------------------------------------------------

    async def read(self) -> SessionTree:
        """The session as it is now."""
        text = await self._requests.text(self._path())
        tree = SessionTree()
        try:
            tree.apply(Event(json.loads(text)["cursor"], SNAPSHOT, text))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise _unlike(SNAPSHOT) from error
        return tree

    async def read_run(self, run_id: str) -> RunState:
        """How far a run is: ``queued`` before its first event."""
        return document(RunState, await self._requests.json("GET", self._path("runs", run_id)))

    async def waiting(self) -> list[WaitingRun]:
        """The runs that wait for an attempt, and for what: no worker, another run of the session, a
        limit, their time. The one that has waited longest comes first; at most 100."""
        answer = await self._requests.json("GET", self._path("waiting"))
        try:
            return [WaitingRun.model_validate(run) for run in answer["waiting"]]
        except (ValidationError, LookupError, TypeError) as error:
            raise _unlike("waiting") from error

    async def events(
        self,
        *,
        after: str | None = None,
        run_id: str | None = None,
        types: Sequence[str] | None = None,
        on_connection: OnConnection | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The session's events, each once and in order, over as many connections as it takes.

        Without ``after``, a cursor, a ``snapshot`` comes first. So it does when the log does not
        reach back to the cursor, or events were missing: it replaces everything. With ``run_id``
        only the events of that run come, until it is over; with ``types`` only those of these
        types, and snapshots. Close it with :func:`contextlib.aclosing`: it holds a connection.

        Raises:
            GatewayError: the first connection has failed, also when it was tried again, or the
                gateway says no for good: the session is deleted, say.
        """
        parts = ("events",) if run_id is None else ("runs", run_id, "events")
        path = self._path(*parts, types=None if types is None else ",".join(types))
        is_dense = run_id is None and types is None
        following = Following(self._requests, Stream(path, after, run_id, is_dense), on_connection)
        async with aclosing(following.events()) as events:
            async for event in events:
                yield event

    async def follow(
        self, tree: SessionTree | None = None, *, on_connection: OnConnection | None = None
    ) -> AsyncGenerator[Update, None]:
        """The session's events, folded into a tree; given one, it goes on from its cursor.

        It is the same tree each time. Close it as :meth:`events`, whose errors it raises.
        """
        tree = SessionTree() if tree is None else tree
        stream = self.events(after=tree.cursor or None, on_connection=on_connection)
        async with aclosing(stream) as events:
            async for event in events:
                yield Update(event, tree, tree.apply(event))

    async def wait(self, run_id: str) -> RunState:
        """The run, once it is over; also one that is queued, or that will be tried again."""
        async with aclosing(self.events(run_id=run_id, types=(RUN_END,))) as events:
            async for _ in events:
                pass
        return await self.read_run(run_id)

    # -- what people do -------------------------------------------------------------------------

    async def send(
        self,
        content: str,
        *,
        files: Sequence[FileSource] = (),
        elements: Sequence[str] = (),
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        subject: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        retry_of: str | None = None,
    ) -> SentMessage:
        """Send a message. ``files`` are uploaded before, ``elements`` are ids of what was, and by
        ``tags`` lists of runs find the run. ``retry_of`` is the run that it repeats in other words.

        ``subject`` and ``priority`` say for whom, for callers that have the right ``admin``.
        """
        uploaded = [(await self.upload(file)).id for file in files]
        body = _given(
            content=content,
            elements=[*elements, *uploaded],
            author=author,
            metadata=metadata,
            id=id,
            subject=subject,
            priority=priority,
            tags=_listed(tags),
            retry_of=retry_of,
        )
        sent = await self._requests.json("POST", self._path("messages"), body)
        return SentMessage(field_of(sent, "run_id"), field_of(sent, "message_id"))

    async def run(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        *,
        defer_until: str | None = None,
        id: str | None = None,
        subject: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        retry_of: str | None = None,
    ) -> str:
        """Run a ``@cl.task`` with ``args`` as its keyword arguments; the id of the run.

        It does not begin before ``defer_until``, an RFC 3339 time with its zone. ``retry_of`` is
        the run that it repeats with other arguments.
        """
        body = _given(
            task=task,
            args=args,
            defer_until=defer_until,
            id=id,
            subject=subject,
            priority=priority,
            tags=_listed(tags),
            retry_of=retry_of,
        )
        return field_of(await self._requests.json("POST", self._path("runs"), body), "run_id")

    async def retry(self, run_id: str, *, id: str | None = None) -> str:
        """Do the work of a run that is over again, with the same message or arguments; the id of
        the new run.

        Raises:
            Conflict: it is not over, or its arguments are not kept.
            Forbidden: its arguments are another sender's.
        """
        answer = await self._requests.json(
            "POST", self._path("runs", run_id, "retry"), _given(id=id)
        )
        return field_of(answer, "run_id")

    async def read_request(self, run_id: str) -> AskedFor:
        """What a run that is over was asked for with.

        Raises:
            Conflict: it is not over, or its arguments are not kept.
        """
        answer = await self._requests.json("GET", self._path("runs", run_id, "request"))
        return document(AskedFor, answer)

    async def cancel(self, run_id: str) -> None:
        """Stop a run, and what it has started."""
        await self._requests.json("POST", self._path("runs", run_id, "cancel"), {})

    async def resume(self, *, id: str | None = None) -> str:
        """The person comes back to the conversation; the id of the run of ``on_chat_resume``."""
        answer = await self._requests.json("POST", self._path("resume"), _given(id=id))
        return field_of(answer, "run_id")

    async def answer(
        self,
        ask_id: str,
        content: str | None = None,
        *,
        action: str | None = None,
        files: Sequence[FileSource] | None = None,
        submission: Submission | None = None,
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> AskDocument:
        """Answer what a handler asks, by the kind of the ask: a text, the id of an action, files,
        or the submission of an element: ``Submission(submitted=True, props={…})``.

        Raises:
            Conflict: another client was quicker, or the handler waits no more.
        """
        uploaded = None if files is None else [(await self.upload(file)).id for file in files]
        body = _given(
            content=content,
            action=action,
            files=uploaded,
            submission=None if submission is None else submission.model_dump(mode="json"),
            author=author,
            metadata=metadata,
            id=id,
        )
        return document(
            AskDocument, await self._requests.json("POST", self._path("asks", ask_id), body)
        )

    async def click(
        self,
        action_id: str,
        *,
        id: str | None = None,
        subject: str | None = None,
        priority: int | None = None,
    ) -> str:
        """Click an action of a message; the id of the run of its ``action_callback``.

        Raises:
            NotFound: the action is not there, or not any more.
        """
        body = _given(id=id, subject=subject, priority=priority)
        answer = await self._requests.json("POST", self._path("actions", action_id), body)
        return field_of(answer, "run_id")

    async def change_settings(
        self, values: Mapping[str, Any], *, id: str | None = None
    ) -> ChangedSettings:
        """Change values of the form of the settings, by the ids of their inputs; those that are
        left out stay. The run is that of ``on_settings_update``.

        Raises:
            NotFound: the session has no form.
            InvalidRequest: a value does not fit; ``problem["errors"]`` has all that do not.
        """
        body = _given(values=dict(values), id=id)
        return document(
            ChangedSettings, await self._requests.json("PUT", self._path("settings"), body)
        )

    async def edit_settings(self, values: Mapping[str, Any], *, id: str | None = None) -> str:
        """Say what a person is about to choose; the id of the run of ``on_settings_edit``.

        Raises: as :meth:`change_settings`.
        """
        body = _given(values=dict(values), id=id)
        answer = await self._requests.json("POST", self._path("settings", "edit"), body)
        return field_of(answer, "run_id")

    async def rate(
        self, step_id: str, value: Literal[0, 1] | None, comment: str | None = None
    ) -> None:
        """Rate a step: 1 good, 0 bad; None takes the rating back."""
        path = self._path("steps", step_id, "feedback")
        if value is None:
            await self._requests.json("DELETE", path)
        else:
            await self._requests.json("PUT", path, _given(value=value, comment=comment))

    async def delete(self) -> None:
        """Delete the session with all that it has, for all users."""
        await self._requests.json("DELETE", self._path())

    # -- files ----------------------------------------------------------------------------------

    async def upload(
        self, file: FileSource, *, name: str | None = None, mime: str | None = None
    ) -> ElementDocument:
        """Upload a file, to be sent with a message or as an answer.

        Without a ``mime`` the gateway tells it from the name. A file that cannot be rewound is
        sent once alone.
        """
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return await self._upload(opened, name or file.name, mime)
        if isinstance(file, bytes):
            return await self._upload(BytesIO(file), name or "file", mime)
        return await self._upload(file, name or _name_of(file), mime)

    async def download(self, element_id: str) -> bytes:
        """The bytes of an element that the gateway keeps; one with a foreign ``url`` is not."""
        async with self._requests.opened("GET", self._path("elements", element_id), {}) as answer:
            return b"".join([piece async for piece in answer.pieces()])

    async def download_to(self, element_id: str, path: Path) -> None:
        """Write the bytes of an element to a file, without holding them in memory."""
        async with self._requests.opened("GET", self._path("elements", element_id), {}) as answer:
            with path.open("wb") as file:
                async for piece in answer.pieces():
                    file.write(piece)

    async def _upload(self, file: BinaryIO, name: str, mime: str | None) -> ElementDocument:
        path = self._path("elements", name=name)
        return document(ElementDocument, await self._requests.upload(path, Upload(file), mime))

    def _path(self, *parts: str, **query: str | None) -> str:
        return path_of("sessions", self.id, *parts, **query)


def _given(**fields: object) -> dict[str, object]:
    """A body of what was given; the gateway knows the defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def _listed(words: Sequence[str] | None) -> list[str] | None:
    return None if words is None else list(words)


def document(model: type[D], answer: Mapping[str, Any]) -> D:
    """An answer of the gateway as what it should be.

    Raises:
        BadAnswer: it is something else.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        raise _unlike(model.__name__) from error


def _unlike(what: str) -> BadAnswer:
    return BadAnswer(f"the gateway's answer is not a {what}: check its address and version")


def _name_of(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and name else "file"

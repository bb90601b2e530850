"""The client without an event loop: the same calls, which block."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from stepwire.client import _lists as lists
from stepwire.client._async_client import (
    DEFAULT_RIGHTS,
    MAX_RETRIES,
    TIMEOUT_S,
    TTL_S,
    create_session,
    create_token,
    source_of,
    start_page,
)
from stepwire.client._async_session import AsyncSession
from stepwire.client._http import BlockingHttp, finished, iterated
from stepwire.client._requests import Requests

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import httpx

    from stepwire.client._async_client import IssuedToken
    from stepwire.client._async_session import (
        AskedFor,
        ChangedSettings,
        FileSource,
        RunState,
        SentMessage,
        Update,
    )
    from stepwire.client._events import Event
    from stepwire.client._following import OnConnection
    from stepwire.client._http import GetToken
    from stepwire.client._lists import SessionsUpdate
    from stepwire.client._session_tree import SessionTree
    from stepwire_core.wire.choices.start_page import StartPage
    from stepwire_core.wire.documents import AskDocument, ElementDocument, Submission
    from stepwire_core.wire.rights import Right
    from stepwire_core.wire.run_entry import RunEntry, WaitingRun
    from stepwire_core.wire.session_entry import SessionEntry
    from stepwire_core.wire.task_document import TaskList
    from stepwire_core.wire.worker_document import WorkerDocument


class Client:
    """A gateway at ``url``, for code without an event loop; threads may share it.

    It is a context manager; leaving it closes its connections. :class:`AsyncClient` says what the
    arguments mean, and what is raised.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        get_token: GetToken | None = None,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._requests = Requests(
            BlockingHttp(http_client),
            url,
            source_of(token, get_token),
            timeout_s=timeout_s,
            max_retries=max_retries,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        finished(self._requests.http.close())

    def session(self, session_id: str) -> Session:
        """A session that is there already; nothing is asked yet."""
        return Session(self._requests, session_id)

    def create_session(self, id: str | None = None, *, chat_profile: str | None = None) -> Session:
        """A new session, or the one of that id; ``on_chat_start`` runs once."""
        created = finished(create_session(self._requests, id, chat_profile))
        return Session(self._requests, created)

    def start_page(
        self, *, chat_profile: str | None = None, language: str | None = None
    ) -> StartPage:
        """The start page, which is shown before a session begins."""
        return finished(start_page(self._requests, chat_profile, language))

    def sessions(
        self,
        *,
        subject: str | None = None,
        status: str | None = None,
        title: str | None = None,
    ) -> Generator[SessionEntry, None, None]:
        """The sessions that the token opens, the one with the newest activity first."""
        return iterated(lists.sessions(self._requests, subject, status, title))

    def watch_sessions(
        self,
        *,
        subject: str | None = None,
        status: str | None = None,
        title: str | None = None,
        limit: int = lists.WATCHED,
        on_connection: OnConnection | None = None,
    ) -> Generator[SessionsUpdate, None, None]:
        """The newest of these sessions, whenever something changes; close it, it holds a
        connection."""
        return iterated(
            lists.watch_sessions(self._requests, subject, status, title, limit, on_connection)
        )

    def runs(
        self,
        *,
        status: Sequence[str] | None = None,
        handler: str | None = None,
        subject: str | None = None,
        tag: str | None = None,
    ) -> Generator[RunEntry, None, None]:
        """The runs of all sessions; for callers that have the right ``admin``."""
        return iterated(lists.runs(self._requests, status, handler, subject, tag))

    def workers(self) -> list[WorkerDocument]:
        """The workers, with what they execute; for callers that have the right ``admin``."""
        return finished(lists.workers(self._requests))

    def retry_run(self, run_id: str) -> str:
        """Do the work of a run that has failed for good again; the id of the new run."""
        return finished(lists.retry_run(self._requests, run_id))

    def forget_run(self, run_id: str) -> None:
        """Take a run off the list of those that have failed for good."""
        finished(lists.forget_run(self._requests, run_id))

    def tasks(self) -> TaskList:
        """The tasks of the workers that are there; for callers that have the right ``write``."""
        return finished(lists.tasks(self._requests))

    def create_token(
        self,
        subject: str,
        sessions: Sequence[str],
        *,
        rights: Sequence[Right] = DEFAULT_RIGHTS,
        ttl_s: int = TTL_S,
        priority: int | None = None,
    ) -> IssuedToken:
        """A token for a subject, which opens these sessions; for callers that have an API key."""
        return finished(create_token(self._requests, subject, sessions, rights, ttl_s, priority))


class Session:
    """One session of a gateway, for code without an event loop.

    Its calls are those of :class:`AsyncSession`, which says what each does and raises.
    """

    def __init__(self, requests: Requests, session_id: str) -> None:
        self.id = session_id
        self._session = AsyncSession(requests, session_id)

    def read(self) -> SessionTree:
        """The session as it is now."""
        return finished(self._session.read())

    def read_run(self, run_id: str) -> RunState:
        """How far a run is: ``queued`` before its first event."""
        return finished(self._session.read_run(run_id))

    def waiting(self) -> list[WaitingRun]:
        """The runs that wait for an attempt, and for what."""
        return finished(self._session.waiting())

    def events(
        self,
        *,
        after: str | None = None,
        run_id: str | None = None,
        types: Sequence[str] | None = None,
        on_connection: OnConnection | None = None,
    ) -> Generator[Event, None, None]:
        """The session's events, each once and in order; close it, it holds a connection."""
        return iterated(
            self._session.events(
                after=after, run_id=run_id, types=types, on_connection=on_connection
            )
        )

    def follow(
        self, tree: SessionTree | None = None, *, on_connection: OnConnection | None = None
    ) -> Generator[Update, None, None]:
        """The session's events, folded into a tree; given one, it goes on from its cursor."""
        return iterated(self._session.follow(tree, on_connection=on_connection))

    def wait(self, run_id: str) -> RunState:
        """The run, once it is over."""
        return finished(self._session.wait(run_id))

    def send(
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
        """Send a message; ``files`` are uploaded before."""
        return finished(
            self._session.send(
                content,
                files=files,
                elements=elements,
                author=author,
                metadata=metadata,
                id=id,
                subject=subject,
                priority=priority,
                tags=tags,
                retry_of=retry_of,
            )
        )

    def run(
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
        """Run a ``@cl.task``; the id of the run."""
        return finished(
            self._session.run(
                task,
                args,
                defer_until=defer_until,
                id=id,
                subject=subject,
                priority=priority,
                tags=tags,
                retry_of=retry_of,
            )
        )

    def retry(self, run_id: str, *, id: str | None = None) -> str:
        """Do the work of a run that is over again; the id of the new run."""
        return finished(self._session.retry(run_id, id=id))

    def read_request(self, run_id: str) -> AskedFor:
        """The request that started a run that is over."""
        return finished(self._session.read_request(run_id))

    def cancel(self, run_id: str) -> None:
        """Stop a run, and what it has started."""
        finished(self._session.cancel(run_id))

    def resume(self, *, id: str | None = None) -> str:
        """The person comes back to the conversation; the id of the run of ``on_chat_resume``."""
        return finished(self._session.resume(id=id))

    def answer(
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
        """Answer what a handler asks: with a text, the id of an action, files, or the submission of
        an element."""
        return finished(
            self._session.answer(
                ask_id,
                content,
                action=action,
                files=files,
                submission=submission,
                author=author,
                metadata=metadata,
                id=id,
            )
        )

    def click(
        self,
        action_id: str,
        *,
        id: str | None = None,
        subject: str | None = None,
        priority: int | None = None,
    ) -> str:
        """Click an action of a message; the id of the run of its ``action_callback``."""
        return finished(self._session.click(action_id, id=id, subject=subject, priority=priority))

    def change_settings(
        self, values: Mapping[str, Any], *, id: str | None = None
    ) -> ChangedSettings:
        """Change values of the form of the settings, by the ids of their inputs."""
        return finished(self._session.change_settings(values, id=id))

    def edit_settings(self, values: Mapping[str, Any], *, id: str | None = None) -> str:
        """Say what a person is about to choose; the id of the run of ``on_settings_edit``."""
        return finished(self._session.edit_settings(values, id=id))

    def rate(self, step_id: str, value: Literal[0, 1] | None, comment: str | None = None) -> None:
        """Rate a step: 1 good, 0 bad; None takes the rating back."""
        finished(self._session.rate(step_id, value, comment))

    def delete(self) -> None:
        """Delete the session with all that it has, for all users."""
        finished(self._session.delete())

    def upload(
        self, file: FileSource, *, name: str | None = None, mime: str | None = None
    ) -> ElementDocument:
        """Upload a file, to be sent with a message or as an answer."""
        return finished(self._session.upload(file, name=name, mime=mime))

    def download(self, element_id: str) -> bytes:
        """The bytes of an element."""
        return finished(self._session.download(element_id))

    def download_to(self, element_id: str, path: Path) -> None:
        """Write the bytes of an element to a file, without holding them in memory."""
        finished(self._session.download_to(element_id, path))

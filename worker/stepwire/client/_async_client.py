"""A gateway, and what a client asks of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire.client import _lists as lists
from stepwire.client._async_session import AsyncSession, document
from stepwire.client._http import AsyncHttp
from stepwire.client._requests import Requests, field_of, path_of
from stepwire.client._tokens import checked
from stepwire_core.errors import InvalidArgument
from stepwire_core.wire.choices.start_page import StartPage

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import httpx

    from stepwire.client._following import OnConnection
    from stepwire.client._http import AsyncGetToken
    from stepwire.client._lists import SessionsUpdate
    from stepwire_core.wire.rights import Right
    from stepwire_core.wire.run_entry import RunEntry
    from stepwire_core.wire.session_entry import SessionEntry
    from stepwire_core.wire.task_document import TaskList
    from stepwire_core.wire.worker_document import WorkerDocument

DEFAULT_RIGHTS: Final[Sequence[Right]] = ("read", "write", "cancel")
TTL_S: Final = 3600
TIMEOUT_S: Final = 20.0
MAX_RETRIES: Final = 2


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that the gateway has made."""

    token: str
    expires_at: str


class AsyncClient:
    """A gateway at ``url``, for one event loop; :class:`Client` is the same without one.

    It is an async context manager; leaving it closes its connections.

    Args:
        url: where the gateway is, with the path under which a proxy publishes it.
        token: a token or an API key that does not change.
        get_token: returns a token, or is a coroutine function that does. It is asked when the
            first one is needed, when one ends within 30 s (``"expiring"``), and when the gateway
            has refused one (``"refused"``); once, however many requests wait for it.
        timeout_s: how long a request may take to connect, and then be without news. Uploads have
            60 s, and a stream is given up after 60 s without a ping.
        max_retries: how often a request is repeated that got no answer, or one that may pass
            (408, 429, 5xx). It is taken once all the same.
        http_client: sends the requests, with proxies and certificates of its own; the caller
            closes it. A stream holds one of its connections.

    Raises:
        InvalidArgument: ``url`` or ``token`` cannot be used, or there is a ``get_token``, too.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        get_token: AsyncGetToken | None = None,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._requests = Requests(
            AsyncHttp(http_client),
            url,
            source_of(token, get_token),
            timeout_s=timeout_s,
            max_retries=max_retries,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; streams that are read end."""
        await self._requests.http.close()

    def session(self, session_id: str) -> AsyncSession:
        """A session that is there already; nothing is asked yet."""
        return AsyncSession(self._requests, session_id)

    async def create_session(
        self, id: str | None = None, *, chat_profile: str | None = None
    ) -> AsyncSession:
        """A new session, or the one of that id; ``on_chat_start`` runs once.

        ``chat_profile`` is the name of one that :meth:`start_page` offers; without it the session
        has the default one, if there is one.

        Raises:
            NotFound: that profile is not offered.
            GatewayError: the gateway says no, or does not answer.
        """
        created = await create_session(self._requests, id, chat_profile)
        return AsyncSession(self._requests, created)

    async def start_page(
        self, *, chat_profile: str | None = None, language: str | None = None
    ) -> StartPage:
        """What a page shows a person before there is a session: chat profiles, and questions to
        begin with. ``language`` is a tag, as ``en-GB``.

        Raises:
            NotFound: that profile is not offered.
            Unavailable: no worker has said it.
            GatewayError: the gateway says no, or does not answer.
        """
        return await start_page(self._requests, chat_profile, language)

    def sessions(
        self,
        *,
        subject: str | None = None,
        status: str | None = None,
        title: str | None = None,
    ) -> AsyncGenerator[SessionEntry, None]:
        """The sessions that the token opens, the one with the newest activity first.

        Pages are fetched as they are needed. ``title`` is a text in the title; another ``subject``
        than the token's is for callers that have the right ``admin``. On a cluster of which a node
        is away, the sessions there are left out, with a warning in the log ``stepwire.client``.

        Raises:
            GatewayError: the gateway says no, or does not answer.
        """
        return lists.sessions(self._requests, subject, status, title)

    def watch_sessions(
        self,
        *,
        subject: str | None = None,
        status: str | None = None,
        title: str | None = None,
        limit: int = lists.WATCHED,
        on_connection: OnConnection | None = None,
    ) -> AsyncGenerator[SessionsUpdate, None]:
        """The newest ``limit`` of these sessions, at once and whenever something changes.

        It goes on over as many connections as it takes; after each break the list begins anew. A
        session whose server is away stays as it was. Close it with :func:`contextlib.aclosing`: it
        holds a connection.

        Raises:
            GatewayError: the first connection has failed, or the gateway says no for good.
        """
        return lists.watch_sessions(self._requests, subject, status, title, limit, on_connection)

    def runs(
        self,
        *,
        status: Sequence[str] | None = None,
        handler: str | None = None,
        subject: str | None = None,
        tag: str | None = None,
    ) -> AsyncGenerator[RunEntry, None]:
        """The runs of all sessions: what runs, what waits, and, if ``status`` has ``error`` or
        ``interrupted``, what has failed for good; for callers that have the right ``admin``.

        Raises:
            GatewayError: the gateway says no, or does not answer.
        """
        return lists.runs(self._requests, status, handler, subject, tag)

    async def workers(self) -> list[WorkerDocument]:
        """The workers, with what they execute; for callers that have the right ``admin``.

        Raises:
            GatewayError: the gateway says no, or does not answer.
        """
        return await lists.workers(self._requests)

    async def retry_run(self, run_id: str) -> str:
        """Do the work of a run that has failed for good again, as a new run of its session, whose
        id is returned; for callers that have the right ``admin`` in all sessions.

        Raises:
            NotFound: it is not among the failed runs (any more), or its session is gone.
        """
        return await lists.retry_run(self._requests, run_id)

    async def forget_run(self, run_id: str) -> None:
        """Take a run off the list of those that have failed for good: it cannot be retried any
        more. For callers that have the right ``admin`` in all sessions.

        Raises:
            NotFound: it is not among them.
        """
        await lists.forget_run(self._requests, run_id)

    async def tasks(self) -> TaskList:
        """The tasks of the workers that are there; for callers that have the right ``write``.

        Raises:
            GatewayError: the gateway says no, or does not answer.
        """
        return await lists.tasks(self._requests)

    async def create_token(
        self,
        subject: str,
        sessions: Sequence[str],
        *,
        rights: Sequence[Right] = DEFAULT_RIGHTS,
        ttl_s: int = TTL_S,
        priority: int | None = None,
    ) -> IssuedToken:
        """A token for a subject, which opens these sessions; for callers that have an API key.

        ``sessions`` are ids, or beginnings of ids followed by ``*``; ``{sub}`` is the subject.

        Raises:
            GatewayError: the gateway says no: this client's token is not an API key, say.
        """
        return await create_token(self._requests, subject, sessions, rights, ttl_s, priority)


async def create_session(requests: Requests, id: str | None, chat_profile: str | None) -> str:
    """The id of a new session, or ``id``."""
    given = {"id": id, "chat_profile": chat_profile}
    body = {name: value for name, value in given.items() if value is not None}
    return field_of(await requests.json("POST", path_of("sessions"), body), "session_id")


async def start_page(
    requests: Requests, chat_profile: str | None, language: str | None
) -> StartPage:
    """The start page, which is shown before a session begins."""
    path = path_of("start", chat_profile=chat_profile, language=language)
    return document(StartPage, await requests.json("GET", path))


async def create_token(
    requests: Requests,
    subject: str,
    sessions: Sequence[str],
    rights: Sequence[Right],
    ttl_s: int,
    priority: int | None,
) -> IssuedToken:
    """A token that the gateway makes."""
    body: dict[str, object] = {
        "sub": subject,
        "sessions": list(sessions),
        "rights": list(rights),
        "ttl_s": ttl_s,
    }
    if priority is not None:
        body["priority"] = priority
    made = await requests.json("POST", path_of("tokens"), body)
    return IssuedToken(field_of(made, "token"), field_of(made, "expires_at"))


def source_of(token: str | None, get_token: AsyncGetToken | None) -> AsyncGetToken | None:
    """Where tokens come from: a function, also for one that does not change.

    Raises:
        InvalidArgument: there are both, or the token cannot be sent.
    """
    if token is None:
        return get_token
    if get_token is not None:
        raise InvalidArgument("give the client a token, or get_token, not both")
    checked(token)
    return lambda _: token

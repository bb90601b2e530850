"""A stream that is kept open, over as many connections as it takes."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import httpx

from stepwire.client._events import Event, following
from stepwire.client._frames import Frame, FrameReader
from stepwire.client._gateway_errors import BadAnswer, GatewayError, Unavailable, not_a_gateway
from stepwire.client._requests import backoff_s
from stepwire_core.errors import InvalidCursor
from stepwire_core.wire.kinds import RUN_END, SNAPSHOT

if TYPE_CHECKING:
    from stepwire.client._http import Answer
    from stepwire.client._requests import Requests

logger = logging.getLogger("stepwire.client")

SILENCE_S: Final = 60.0
"""A stream without even a ping for so long is dead: a gateway sends one every 15 s."""

MAX_WAIT_S: Final = 300.0
"""The longest wait that a gateway, or a proxy in front of it, can ask for."""

_HEADERS: Final = {
    "Accept": "text/event-stream",
    "Cache-Control": "no-store",
    # What packs a stream holds its events back until they are worth packing.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """How a stream stands."""

    state: Literal["connecting", "live", "reconnecting"]
    failures: int = 0
    """How many tries in a row have failed."""
    error: GatewayError | None = None
    """Why the last try failed; None if it did not, or the stream ended as streams do."""
    gaps: int = 0
    """How often events were missing, so that the stream began anew with a snapshot."""


OnConnection: TypeAlias = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Stream:
    """Which stream is read."""

    path: str
    after: str | None
    """The cursor to go on from; None: begin with a snapshot."""
    run_id: str | None = None
    """It is over with the last end of this run."""
    is_dense: bool = True
    """Whether a hole in its ids means that something is missing."""
    has_ids: bool = True
    """Whether its events have ids; one that has none begins anew with each connection."""


class Following:
    """Reads a stream and opens it again whenever it breaks, without loss and without repetition.

    What fails the first connection is raised: an address may be wrong. From then on it goes on for
    as long as trying again may help.
    """

    def __init__(
        self, requests: Requests, stream: Stream, on_connection: OnConnection | None
    ) -> None:
        self._requests = requests
        self._stream = stream
        self._on_connection = on_connection
        self._cursor = stream.after or ""
        self._failures = 0
        self._gaps = 0
        self._has_answered = False
        self._is_live = False
        self._is_over = False
        self._retry_ms: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Each event once, in order.

        Raises:
            GatewayError: the gateway says no for good, or the first connection has failed.
        """
        self._tell("connecting")
        while True:
            error: GatewayError | None = None
            self._is_live = False
            self._retry_ms = None
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except Unavailable as caught:
                error = caught
                if not self._has_answered and self._failures >= self._requests.max_retries:
                    raise
            if self._is_over:
                return
            if not self._is_live:
                self._failures += 1
            self._tell("reconnecting", error)
            await self._requests.http.sleep(self._wait_s(error))

    def _wait_s(self, error: GatewayError | None) -> float:
        if error is not None and error.retry_after_s is not None:
            return min(error.retry_after_s, MAX_WAIT_S)
        if self._retry_ms is not None and (error is None or not self._is_live):
            wait_s = min(self._retry_ms / 1000, MAX_WAIT_S)
            # Not all clients of a gateway at the same moment.
            return wait_s * random.uniform(1, 1.5)  # noqa: S311 - spreads load
        return backoff_s(self._failures)

    async def _connection(self) -> AsyncGenerator[Event, None]:
        """The events of one connection."""
        headers = _HEADERS | ({"Last-Event-ID": self._cursor} if self._cursor else {})
        async with self._requests.opened(
            "GET", self._stream.path, headers, read_s=SILENCE_S
        ) as answer:
            if answer.response.status_code == httpx.codes.NO_CONTENT:
                self._is_over = True
                return
            async with aclosing(_frames(answer)) as frames:
                async for frame in frames:
                    self._heard(frame)
                    if frame.data is None:
                        continue
                    event = Event(frame.id or "", frame.type or "message", frame.data)
                    follows = self._follows(event)
                    if follows == "gap":
                        self._missed(event)
                        return
                    if follows == "next":
                        self._cursor = event.id
                        self._is_over = self._ends(event)
                        yield event
                    if self._is_over:
                        return

    def _heard(self, frame: Frame) -> None:
        self._has_answered = True
        if frame.retry_ms is not None:
            self._retry_ms = frame.retry_ms
            if frame.comment and not self._is_live:
                # An EventSource gives up on a status, so a gateway that cannot open the stream
                # says so in a comment of an empty one.
                code, colon, detail = frame.comment.partition(": ")
                raise Unavailable(
                    detail or frame.comment, code=code if colon else "bad_answer", status=200
                )
        if frame.data is None and frame.id and not self._stream.is_dense:
            # Of a stream that leaves events out: as far as they have been looked through.
            self._cursor = frame.id
        if not self._is_live:
            self._is_live = True
            self._failures = 0
            self._tell("live")

    def _follows(self, event: Event) -> Literal["next", "again", "gap"]:
        if not self._stream.has_ids:
            return "next"
        try:
            follows = following(self._cursor, event)
        except InvalidCursor as error:
            raise BadAnswer(
                f"{self._requests.url} does not answer as a stepwire gateway does: {error}"
            ) from error
        return "next" if follows == "gap" and not self._stream.is_dense else follows

    def _missed(self, event: Event) -> None:
        fields = {"path": self._stream.path, "cursor": self._cursor, "event_id": event.id}
        logger.warning("events are missing: the stream begins anew", extra=fields)
        self._gaps += 1
        self._cursor = ""
        self._retry_ms = None

    def _ends(self, event: Event) -> bool:
        """Whether nothing of the run follows."""
        run_id = self._stream.run_id
        if run_id is None or event.type not in (RUN_END, SNAPSHOT):
            return False
        data = event.data
        runs = (data.get("runs") or ()) if event.type == SNAPSHOT else (data,)
        return any(
            isinstance(run, dict)
            and run.get("run_id") == run_id
            and run.get("ended_at")
            and not run.get("will_retry")
            for run in runs
        )

    def _tell(
        self,
        state: Literal["connecting", "live", "reconnecting"],
        error: GatewayError | None = None,
    ) -> None:
        if self._on_connection is not None:
            self._on_connection(Connection(state, self._failures, error, self._gaps))


async def _frames(answer: Answer) -> AsyncGenerator[Frame, None]:
    if not answer.response.headers.get("content-type", "").startswith("text/event-stream"):
        await answer.read()
        raise not_a_gateway(answer.response)
    reader = FrameReader()
    async for piece in answer.pieces():
        for frame in reader.read(piece):
            yield frame

"""The publisher: takes events from any thread, stores them in groups, loses none.

One per process. It has a thread of its own, so that what a handler emits is on its way even while
that handler blocks the event loop, and so that plain scripts and threads need no event loop at all.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from redis.exceptions import NoScriptError, ResponseError

from stepwire._producer import PendingCall, PendingDelta, Producer, fits_always
from stepwire_core.connections import UNAVAILABLE, ServerChanged, ServerId, connect_sync
from stepwire_core.errors import (
    ForkedProcess,
    ProtocolViolation,
    RunEnded,
    SessionFull,
    SessionNotFound,
    StepwireError,
    StoreUnavailable,
)
from stepwire_core.events import NewEvent
from stepwire_core.keys import SessionKeys
from stepwire_core.log import (
    APPEND,
    CANCEL,
    ITSELF,
    REGISTER,
    Appended,
    Registration,
    Unfinished,
    cancel_args,
    document_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from stepwire_core.documents import TextField
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.publisher")

MAX_BATCH_EVENTS: Final = 200
"""A script call holds up the server for everybody: about 7 µs an event."""

MAX_BATCH_BYTES: Final = 256 * 1024
"""A call that holds this much takes no further event."""

MAX_DELTA_BYTES: Final = 16 * 1024
"""Adjacent deltas of one step merge up to here."""

EVENT_OVERHEAD_BYTES: Final = 400
"""What an event costs in the buffer beside its text."""

_BACKOFF_S: Final = (0.05, 2.0)
_CLOSE_TIMEOUT_S: Final = 5.0


class Publisher:
    """Group commit: while one round trip is under way, what comes is gathered for the next.

    Memory is bounded by ``buffer_bytes``: past it :meth:`Producer.room` waits. With Redis away,
    events wait and are sent again under the same sequence, so each is stored once; after
    ``publish_timeout_s`` the producers that wait fail with :class:`StoreUnavailable`.
    """

    def __init__(self, settings: Settings, *, redis: Redis | None = None) -> None:
        """``redis`` is a client to use instead of one that the settings describe."""
        self.settings = settings
        self.max_text_chars = settings.max_text_chars
        self.server_id = ServerId() if redis is None else ServerId.of("given")
        self.redis = redis or connect_sync(settings.redis_url, self.server_id)
        # Reentrant: a dropped generator's end may be collected in the thread that holds it.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._queue: deque[PendingCall] = deque()
        self._last_of_session: dict[str, PendingCall] = {}
        self._bytes = 0
        self._taken = 0
        self._settled = 0
        self._flush_waiters: list[tuple[int, Producer, Future[None]]] = []
        self._room_waiters: list[Future[None]] = []
        self._closing = False
        self._orphaned = False
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="stepwire-publisher", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._bytes > self.settings.buffer_bytes

    def producer(
        self,
        name: str,
        session_id: str,
        run_id: str = "",
        attempt: int = 0,
        *,
        create: bool = False,
    ) -> Producer:
        """A new source of events; ``name`` must be unique among all processes, for all time.

        With ``create``, its first event makes the session if it is not there.
        """
        return Producer(self, name, session_id, run_id=run_id, attempt=attempt, create=create)

    def state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of a session's state, by their fields in it; blocking.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if not fields:
            return []
        with _translated():
            values = self.redis.hmget(SessionKeys.of(session_id).state, list(fields))
        # redis-py types its commands for both of its clients at once.
        return [value and document_of(value) for value in cast("list[bytes | None]", values)]

    def result(self, session_id: str, run_id: str) -> dict[str, Any] | None:
        """Take what an awaited run has come to; blocking.

        Raises: as :meth:`Producer.result`.
        """
        keys = SessionKeys.of(session_id)
        with _translated(), self.redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.meta)
            pipe.hget(keys.results, run_id)
            there, result = pipe.execute()
        if not there:
            raise SessionNotFound(session_id)
        if result is None:
            return None
        # Left behind, it goes with the session.
        with suppress(*UNAVAILABLE):
            self.redis.hdel(keys.results, run_id)
        return cast("dict[str, Any]", json.loads(result))

    def register(self, registration: Registration) -> None:
        """Make a run known; blocking.

        Raises: as :meth:`Producer.register`.
        """
        args = registration.script_args(self.settings)
        with _translated():
            registration.check(REGISTER.sync(self.redis, *args))

    def cancel(self, session_id: str, run_id: str) -> None:
        """Ask for a run to be cancelled; blocking.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        left: list[Any] = [run_id, ITSELF]
        while left:
            with _translated():
                keys, args = cancel_args(self.settings, session_id, left)
                _, *left = CANCEL.sync(self.redis, keys, *args)

    def orphan(self) -> None:
        """In a forked child: thread and connection are the parent's, and its lock may be held."""
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._queue.clear()
        self._last_of_session.clear()
        self._orphaned = True

    def close(self) -> None:
        """Store what waits, for a few seconds at most, and end the thread."""
        with self._lock:
            self._closing = True
            self._give_up_at = time.monotonic() + _CLOSE_TIMEOUT_S
            self._work.notify()
        self._thread.join(_CLOSE_TIMEOUT_S * 2)
        self.redis.close()

    # -- taking ---------------------------------------------------------------------------------

    def _take(self, producer: Producer, events: Sequence[NewEvent]) -> None:
        with self._lock:
            if (full := producer._full) is not None:
                taken = [event for event in events if fits_always(event)]
                if events and not taken:
                    producer._full_was_told = True
                    raise full
                events = taken
            self._enter_all(producer, events)

    def _take_end(
        self, producer: Producer, events: Sequence[NewEvent], full: SessionFull | None
    ) -> None:
        with self._lock:
            if producer._full is not None and producer._full is not full:
                raise producer._full
            producer._ended = False
            self._enter_all(producer, events)
            producer._ended = True

    def _enter_all(self, producer: Producer, events: Sequence[NewEvent]) -> None:
        for event in events:
            self._enter(producer, event, len(event.payload) + EVENT_OVERHEAD_BYTES)

    def _take_delta(
        self, producer: Producer, step_id: str, text: str, field: TextField, replace: bool
    ) -> None:
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        with self._lock:
            if producer._full is not None:
                producer._full_was_told = True
                raise producer._full
            call = self._last_of_session.get(producer.session_id)
            if call is not None and call.producer is producer and not replace:
                last = call.pending[-1]
                if (
                    isinstance(last, PendingDelta)
                    and last.step_id == step_id
                    and last.field == field
                    and last.size + size <= MAX_DELTA_BYTES
                ):
                    last.parts.append(text)
                    last.size += size
                    call.size += size
                    self._bytes += size
                    return
            delta = PendingDelta(step_id, field, replace, [text], size)
            self._enter(producer, delta, size + EVENT_OVERHEAD_BYTES)

    def _enter(self, producer: Producer, item: NewEvent | PendingDelta, size: int) -> None:
        if producer._failure is not None:
            raise producer._failure
        if producer._ended:
            raise RunEnded(producer.session_id, producer.run_id)
        if self._orphaned:
            raise ForkedProcess
        if self._closing:
            raise StoreUnavailable("this process is shutting down; nothing more is stored")
        call = self._last_of_session.get(producer.session_id)
        if (
            call is None
            or call.producer is not producer
            or len(call.pending) >= MAX_BATCH_EVENTS
            or call.size >= MAX_BATCH_BYTES
        ):
            call = self._last_of_session[producer.session_id] = PendingCall(producer)
            self._queue.append(call)
        call.pending.append(item)
        call.size += size
        self._bytes += size
        self._taken += 1
        call.published += 1
        self._work.notify()

    def _flushed(self, producer: Producer) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            if self._orphaned:
                done.set_exception(ForkedProcess())
            elif producer._failure is not None:
                done.set_exception(producer._failure)
            elif self._settled >= self._taken:
                _finish(done, producer)
            else:
                self._flush_waiters.append((self._taken, producer, done))
        return done

    def _room(self) -> Future[None]:
        room: Future[None] = Future()
        with self._lock:
            if self.full:
                self._room_waiters.append(room)
            else:
                room.set_result(None)
        return room

    # -- storing --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._queue and not self._closing:
                    self._work.wait()
                if not self._queue:
                    return
                calls = list(self._queue)
                self._queue.clear()
                self._last_of_session.clear()
            try:
                self._commit(calls)
            except Exception as error:
                logger.exception("the publisher failed on a group of events")
                self._fail(calls, ProtocolViolation(f"the publisher failed: {error!r}"))
            self._settle(calls)

    def _commit(self, calls: list[PendingCall]) -> None:
        """Store the calls in order, repeating what Redis has not answered."""
        give_up_at = time.monotonic() + self.settings.publish_timeout_s
        delay_s, longest_s = _BACKOFF_S
        while calls:
            try:
                calls = self._send(calls)
                continue
            except UNAVAILABLE as error:
                if time.monotonic() > min(give_up_at, self._give_up_at):
                    logger.error("giving up on Redis", extra={"error": str(error)})  # noqa: TRY400 - expected
                    self._fail(
                        calls,
                        StoreUnavailable(
                            f"Redis has not answered for {self.settings.publish_timeout_s:g} s "
                            f"(STEPWIRE_PUBLISH_TIMEOUT_S): {error}"
                        ),
                    )
                    return
                logger.warning(
                    "Redis does not answer, events wait",
                    extra={"error": str(error), "retry_s": delay_s},
                )
            time.sleep(delay_s * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
            delay_s = min(delay_s * 2, longest_s)

    def _send(self, calls: list[PendingCall]) -> list[PendingCall]:
        """One round trip; returns the calls that must be sent again.

        After the first call that is to be repeated, the later ones of its producer fail as gaps,
        and are repeated with it: the log takes a producer's events in order only. So are those
        after a call that a full session refused, with what they end.
        """
        server = self.server_id.known_sync(self.redis)
        calls = [call for call in calls if call.pending and call.producer._failure is None]
        with self.redis.pipeline(transaction=False) as pipe:
            for call in calls:
                batch = call.prepared()
                keys = SessionKeys.of(batch.session_id).script_keys
                args = batch.script_args(self.settings, server)
                pipe.execute_command("EVALSHA", APPEND.sha, 4, *keys, *args)
            try:
                with self.server_id.expected(server):
                    replies = pipe.execute(raise_on_error=False)
            except ServerChanged:
                return calls

        again: list[PendingCall] = []
        waiting: set[Producer] = set()
        scripts_are_lost = False
        unavailable: Exception | None = None
        for number, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if call.producer in waiting or isinstance(reply, (NoScriptError, *UNAVAILABLE)):
                if isinstance(reply, UNAVAILABLE):
                    unavailable = reply
                scripts_are_lost |= isinstance(reply, NoScriptError)
                waiting.add(call.producer)
                again.append(call)
            elif isinstance(reply, ResponseError):
                self._fail([call], ProtocolViolation(f"the log refused an event: {reply}"))
            elif isinstance(result := call.prepared().result(reply), SessionFull | Unfinished):
                waiting.add(call.producer)
                again.append(call)
                self._refused(result, calls[number:])
            else:
                self._answered(call, result)
        if unavailable is not None:
            # All of them are sent again: the log drops what it has.
            raise unavailable
        if scripts_are_lost:
            self.redis.script_load(APPEND.source)
        return again

    def _answered(self, call: PendingCall, result: Appended | StepwireError) -> None:
        if isinstance(result, Appended):
            call.producer._stored(result)
        else:
            if not isinstance(result, RunEnded):
                logger.warning(
                    "a producer is cut off",
                    extra={"session_id": call.producer.session_id, "reason": str(result)},
                )
            self._fail([call], result)

    def _refused(self, full: SessionFull | Unfinished, calls: list[PendingCall]) -> None:
        """The session did not take the first of these, or a part of it, and it is sent again: to a
        full session, in its place, only what fits always of all that its producer has waiting."""
        if isinstance(full, Unfinished):
            return
        producer = calls[0].producer
        fields = {"session_id": producer.session_id, "reason": str(full)}
        logger.warning("a session is full", extra=fields)
        with self._lock:
            producer._refused(calls[0].prepared(), full)
            for call in (*calls, *self._queue):
                if call.producer is producer:
                    call.keep_what_fits()
            last = self._last_of_session.get(producer.session_id)
            if last is not None and last.producer is producer:
                del self._last_of_session[producer.session_id]

    def _fail(self, calls: list[PendingCall], error: StepwireError) -> None:
        with self._lock:
            for call in calls:
                if call.producer._failure is None:
                    call.producer._failure = error

    def _settle(self, calls: list[PendingCall]) -> None:
        with self._lock:
            self._settled += sum(call.published for call in calls)
            self._bytes -= sum(call.size for call in calls)
            ready = [waiter for waiter in self._flush_waiters if waiter[0] <= self._settled]
            self._flush_waiters = self._flush_waiters[len(ready) :]
            room = [] if self.full else self._room_waiters
            if room:
                self._room_waiters = []
        for _, producer, done in ready:
            if not done.set_running_or_notify_cancel():
                continue
            _finish(done, producer)
        for waiter in room:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)


def _finish(done: Future[None], producer: Producer) -> None:
    """Answer who waits for the producer's events."""
    untold = None if producer._full_was_told else producer._full
    failure = producer._failure or untold
    if failure is None:
        done.set_result(None)
    else:
        producer._full_was_told = True
        done.set_exception(failure)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error

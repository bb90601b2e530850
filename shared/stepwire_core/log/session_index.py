"""Which sessions there are: an index beside them, by their last activity and by subject.

What a list shows of a session (title, status, subject) lies with the session. The index has only
its id and the time of its last activity, so it may be wrong, and its users mend it. An
entry whose session is gone is dropped when it is seen, and by :meth:`SessionIndex.sweep`. A session
that is missing comes back when it is written to the next time.

The index lies in one slot, and sessions in any: on a cluster it can be there while the server of
some of its sessions is away. A list names these.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.log.scripts import LIST, UNLIST
from stepwire_core.log.session_facts import Facts, Missing, SessionFacts
from stepwire_core.redis.commands import Call, command
from stepwire_core.redis.keys import INDEX, INDEX_KEYS, Channels, subject_digest
from stepwire_core.redis.scripts import script_args
from stepwire_core.redis.store import QUICK_S, Store
from stepwire_core.values.clock import written
from stepwire_core.wire.session_entry import SessionEntry

if TYPE_CHECKING:
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.sessions")

_TIME, _IDS, _, _REV = INDEX_KEYS

_SCAN: Final = 500
"""Ids that are read at a time."""

_MOST_IDS: Final = 2_500
"""Ids that one page looks at, at the most; the next page goes on from there."""

_MOST_SESSIONS: Final = 500
"""Sessions that one page looks into, at the most."""

_GATHERED: Final = 1_000
"""A caller that can reach no more sessions than these gets them by their ids: looking for them
among all others would take many pages that are empty."""

_AT_A_TIME: Final = 100

_SWEPT: Final = 100

_NOW: Final = ""


def listed_call(settings: Settings, session_id: str, subject: str, at_us: str = _NOW) -> Call:
    """The call that puts a session at the top of the index; ``subject`` is empty if it is not
    known here."""
    args = script_args(
        "log/list_session",
        session=session_id,
        subject=subject_digest(subject),
        at_us=at_us,
        most=settings.session_list_max,
        # Longer than a session lives, which one of these keys is needed for.
        ttl_ms=settings.session_ttl_s * 2000,
        channel=Channels.of(settings.redis_url).sessions,
    )
    return LIST.on(INDEX_KEYS, args)


class Position(NamedTuple):
    """How far a list was read: to this score, of which so many entries were seen."""

    score: int
    seen: int


class Place(NamedTuple):
    """A session in the index, and its score: microseconds since 1970."""

    session_id: str
    score: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions a list is about."""

    ids: Collection[str] = ()
    prefixes: Collection[str] = ("",)
    """The sessions that the caller can reach: these, and all whose ids begin like one of these."""
    subject: str | None = None
    status: str | None = None
    title: str | None = None
    """A text in the title, whatever its case."""

    def reaches(self, session_id: str) -> bool:
        return session_id in self.ids or session_id.startswith(tuple(self.prefixes))

    def includes(self, entry: SessionEntry) -> bool:
        """Whether the list shows a session that the caller can reach."""
        if self.subject is not None and entry.subject != self.subject:
            return False
        if self.status is not None and entry.status != self.status:
            return False
        return self.title is None or self.title.casefold() in (entry.title or "").casefold()


@dataclass(slots=True)
class Page:
    """Sessions, the one with the newest activity first."""

    entries: list[SessionEntry] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    """The ids of sessions that may belong here, and whose server is away."""
    next: Position | None = None
    """Where the next page begins, which may be there although this one is short; None: there is
    none."""


class SessionIndex:
    """Reads and keeps the index of one installation, in the Redis of the log.

    Every method raises :class:`StoreUnavailable` when Redis does not answer, unless it says
    otherwise.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self.channel: Final = Channels.of(settings.redis_url).sessions
        """Where changes are told, as ``<number> <session>``; the numbers are dense."""

    # -- writing --------------------------------------------------------------------------------

    async def note(self, session_id: str, subject: str | None = None) -> None:
        """Something has happened in a session. It never raises for want of Redis: what was written
        to the session counts, and the next write notes it, too."""
        await self._try(listed_call(self._settings, session_id, subject or ""))

    async def forget(self, *session_ids: str) -> None:
        """Take out sessions that were deleted. It never raises for want of Redis: an entry that is
        left is dropped when it is seen."""
        await self._drop([(session_id, "") for session_id in session_ids])

    async def sweep(self) -> int:
        """Drop sessions that have expired; how many entries were dealt with, a bounded number.

        Nothing tells when a session expires. One that still lives although no run of it has begun
        or ended for so long gets the time of its last event, about.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or takes no writes.
        """
        ttl_us = self._settings.session_ttl_s * 17 * 1_000_000 // 16
        now_us = time.time_ns() // 1000
        before = now_us - ttl_us
        replies = await self._store.read(
            command("ZRANGEBYSCORE", _TIME, "-inf", before, "WITHSCORES", "LIMIT", 0, _SWEPT)
        )
        places = _places(replies[0])
        gone, away = [], 0
        ids = [place.session_id for place in places]
        found = await SessionFacts(self._store).of(ids)
        for place, values in zip(places, found, strict=True):
            if values is Missing.AWAY:
                away += 1
                continue
            if values is Missing.GONE:
                gone.append((place.session_id, str(place.score)))
                continue
            at_us = _number(values["expires"]) * 1000 - ttl_us
            if at_us > now_us:
                # Its last event was under a setting that let sessions live for longer.
                at_us = now_us - ttl_us // 2
            subject, at = _text(values["subject"]) or "", str(max(before + 1, at_us))
            call = listed_call(self._settings, place.session_id, subject, at)
            await self._store.call(call, within_s=QUICK_S)
        if gone:
            await self._store.call(self._unlisting(gone), within_s=QUICK_S)
        return len(places) - away

    async def _drop(self, gone: Sequence[tuple[str, str]]) -> None:
        if gone:
            await self._try(self._unlisting(gone))

    def _unlisting(self, gone: Sequence[tuple[str, str]]) -> Call:
        rows = [word for row in gone for word in row]
        return UNLIST.on(
            INDEX_KEYS, script_args("log/unlist_sessions", *rows, channel=self.channel)
        )

    async def _try(self, call: Call) -> None:
        try:
            # A request waits for it, and it is not worth a long wait.
            await self._store.call(call, within_s=QUICK_S)
        except (StoreUnavailable, StoreRefused) as error:
            logger.warning("the list of sessions is behind", extra={"error": str(error)})

    # -- reading --------------------------------------------------------------------------------

    async def revision(self) -> int:
        """The number of the last change; it begins anew when the index is lost."""
        [number] = await self._store.read(command("GET", _REV))
        return int(number or 0)

    async def entries(self, session_ids: Sequence[str]) -> list[SessionEntry | Missing]:
        """These sessions as they are now; one that is not in the index is gone, too."""
        if not session_ids:
            return []
        places = await self._scored(session_ids)
        found = await self._entries(places, SessionFacts(self._store))
        return [
            entry if place.score else Missing.GONE
            for entry, place in zip(found, places, strict=True)
        ]

    async def page(self, wanted: Wanted, limit: int, after: Position | None = None) -> Page:
        """The next sessions of a list, at most ``limit``.

        The work is bounded: a page may be short, or empty, and still have a ``next``. Sessions
        whose server is away are named beside: nobody knows whether they have the status or title
        that is wanted. A session in which something happens meanwhile moves to the top, so a reader
        that wants all of them hears of changes first, and reads pages then.

        Raises:
            StoreUnavailable, StoreRefused: the server of the index does not answer.
        """
        page, looked_into, looked_at = Page(), 0, 0
        facts, at = SessionFacts(self._store), after
        async for places, is_last in self._chunks(wanted, after):
            looked_at += len(places)
            for start in range(0, len(places), _AT_A_TIME):
                chunk = places[start : start + _AT_A_TIME]
                reached = [place for place in chunk if wanted.reaches(place.session_id)]
                entries = dict(zip(reached, await self._seen(reached, facts), strict=True))
                looked_into += len(reached)
                for number, place in enumerate(chunk, start + 1):
                    at = _next(at, place)
                    entry = entries.get(place)
                    if entry is Missing.AWAY:
                        page.unavailable.append(place.session_id)
                    elif isinstance(entry, SessionEntry) and wanted.includes(entry):
                        page.entries.append(entry)
                    if len(page.entries) == limit:
                        page.next = None if is_last and number == len(places) else at
                        return page
                if looked_into >= _MOST_SESSIONS and not (
                    is_last and start + len(chunk) >= len(places)
                ):
                    page.next = at
                    return page
            if looked_at >= _MOST_IDS and not is_last:
                page.next = at
                return page
        return page

    async def _chunks(
        self, wanted: Wanted, after: Position | None
    ) -> AsyncIterator[tuple[list[Place], bool]]:
        """The places to look at, in the order of the list, and whether they are the last."""
        if wanted.subject is not None:
            key = f"{INDEX}subject:{subject_digest(wanted.subject)}"
        elif (gathered := await self._gathered(wanted)) is not None:
            yield _after(gathered, after), True
            return
        else:
            key = _TIME
        offset = 0 if after is None else after.seen
        highest = "+inf" if after is None else after.score
        while True:
            [reply] = await self._store.read(
                command(
                    *("ZREVRANGEBYSCORE", key, highest, "-inf", "WITHSCORES"),
                    *("LIMIT", offset, _SCAN),
                )
            )
            places = _places(reply)
            is_last = len(places) < _SCAN
            yield places, is_last
            if is_last:
                return
            offset += _SCAN

    async def _gathered(self, wanted: Wanted) -> list[Place] | None:
        """All that a caller can reach, in order; None if that is much."""
        if "" in wanted.prefixes:
            return None
        ranges = [(f"[{prefix}", f"[{prefix}\x7f") for prefix in wanted.prefixes]
        counts = await self._read([command("ZLEXCOUNT", _IDS, *range_) for range_ in ranges])
        if sum(counts) + len(wanted.ids) > _GATHERED:
            return None
        replies = await self._read([command("ZRANGEBYLEX", _IDS, *range_) for range_ in ranges])
        ids = {id_.decode() for reply in replies for id_ in reply} | set(wanted.ids)
        if not ids:
            return []
        found = [place for place in await self._scored(list(ids)) if place.score]
        return sorted(found, key=lambda place: (place.score, place.session_id), reverse=True)

    async def _read(self, calls: Sequence[Call]) -> list[Any]:
        return await self._store.read(*calls) if calls else []

    async def _scored(self, session_ids: Sequence[str]) -> list[Place]:
        """Their places; the score of one that is not there is 0."""
        [scores] = await self._store.read(command("ZMSCORE", _TIME, *session_ids))
        pairs = zip(session_ids, scores, strict=True)
        return [Place(id_, int(float(score or 0))) for id_, score in pairs]

    async def _seen(
        self, places: Sequence[Place], facts: SessionFacts
    ) -> list[SessionEntry | Missing]:
        """What these sessions show; those that are gone are dropped."""
        found = await self._entries(places, facts)
        pairs = zip(places, found, strict=True)
        gone = [place for place, entry in pairs if entry is Missing.GONE]
        await self._drop([(place.session_id, str(place.score)) for place in gone])
        return found

    async def _entries(
        self, places: Sequence[Place], facts: SessionFacts
    ) -> list[SessionEntry | Missing]:
        found = await facts.of([place.session_id for place in places])
        return [
            values if isinstance(values, Missing) else _entry(place, values)
            for place, values in zip(places, found, strict=True)
        ]


def _entry(place: Place, values: Facts) -> SessionEntry:
    born_ms = _number(values["born"] or values["epoch"])
    is_running = _number(values["running"]) > 0
    return SessionEntry(
        id=place.session_id,
        title=_text(values["title"]),
        status="running" if is_running else _text(values["status"]) or "idle",
        created_at=written(born_ms),
        updated_at=written(max(place.score // 1000, born_ms)),
        subject=_text(values["subject"]),
    )


def _number(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _places(reply: Sequence[bytes]) -> list[Place]:
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Place(id_.decode(), int(float(score))) for id_, score in pairs]


def _next(at: Position | None, place: Place) -> Position:
    seen = at.seen if at is not None and at.score == place.score else 0
    return Position(place.score, seen + 1)


def _after(places: list[Place], after: Position | None) -> list[Place]:
    if after is None:
        return places
    left = [place for place in places if place.score <= after.score]
    of_this_score = sum(place.score == after.score for place in left)
    return left[min(after.seen, of_this_score) :]

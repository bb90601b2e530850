"""The short form of one more piece of a text: it does what the whole call would, or nothing."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from documents import a_run
from event_log import Log, Writer, counted, on_a_server, recounted
from stepwire._transport.tail_places import TailPlaces
from stepwire_core.errors import StepwireError
from stepwire_core.log.event_log import TAIL_PIECES, Appended, Batch, LogTail, Piece, Place
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import (
    NewEvent,
    delta_event,
    remove_event,
    run_end_event,
    step_event,
    user_value_event,
)

pytestmark = pytest.mark.anyio


@dataclass
class Source:
    """A producer that sends what it can in the short form, as a publisher does."""

    log: Log
    writer: Writer
    places: TailPlaces | None = field(default_factory=TailPlaces)
    """None: it sends whole calls only."""
    was_short: int = 0
    was_refused: int = 0

    async def put(self, *events: NewEvent) -> Appended:
        appended = await self.send(self.writer.batch(*events))
        self.writer.written += len(events)
        self.writer.known_epoch = str(appended.top.epoch)
        return appended

    async def send(self, batch: Batch) -> Appended:
        if self.places is not None and (piece := self.places.piece(batch, 0.0)) is not None:
            result = piece.result(await self.log.store.call(piece.call(self.log.settings)))
            self.places.note_piece(result)
            if isinstance(result, Appended):
                self.was_short += 1
                return result
            self.was_refused += 1
        appended = await self.log.log.append(batch)
        if self.places is not None:
            self.places.note(batch, appended, 0.0)
        return appended


async def stream(source: Source, count: int, text: str = "word ") -> None:
    for _ in range(count):
        await source.put(delta_event("a", text))


@pytest.mark.slow
async def test_a_text_in_short_calls_reads_as_in_whole_ones(log: Log) -> None:
    source = Source(log, log)
    await source.put(log.start("a"))
    after = (await source.put(delta_event("a", "begin "))).top
    await stream(source, 2 * TAIL_PIECES, "ünï\n")
    assert source.was_refused == 0
    assert source.was_short >= 2 * TAIL_PIECES - 6
    assert await log.outputs() == {"a": "begin " + "ünï\n" * 2 * TAIL_PIECES}
    read = await log.log.read(log.session_id, Cursor(after.epoch, after.seq + TAIL_PIECES))
    assert isinstance(read, LogTail)
    assert len(read.events) == TAIL_PIECES
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


@pytest.mark.slow
@on_a_server
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_both_forms_leave_the_same(log: Log, seed: int) -> None:
    """Two sessions with the same history, one of them in whole calls only."""
    limits = {"session_max_bytes": 8_000 if seed == 2 else 100_000, "log_max_events": 10_000}
    settings = log.settings.model_copy(update=limits)
    lanes = [Lane(Log(log.store, settings, new_id()), is_short=short) for short in (True, False)]
    for lane in lanes:
        await lane.begin()
    chance = random.Random(seed)
    for _ in range(120):
        state = chance.getstate()
        answers = []
        for lane in lanes:
            chance.setstate(state)
            answers.append(await lane.step(chance, most=[40, 60, 100, 1_000][seed]))
        assert answers[0] == answers[1]
    one, two = [await lane.left() for lane in lanes]
    assert one == two
    assert sum(source.was_short for source in lanes[0].sources) > 10


class Lane:
    """A session, and what writes to it: two attempts of a run, a run beside it, and one of none."""

    def __init__(self, log: Log, *, is_short: bool) -> None:
        self.log = log
        self.is_short = is_short
        self.sources: list[Source] = []
        self.sent: list[Batch] = []

    def source(self, name: str, run_id: str = "", attempt: int = 0) -> None:
        writer = Writer(
            self.log.log, self.log.session_id, name=name, run_id=run_id, attempt=attempt
        )
        self.sources.append(Source(self.log, writer, TailPlaces() if self.is_short else None))

    async def begin(self) -> None:
        await self.log.log.create(self.log.session_id, "run")
        self.source("other", "other", 1)
        self.source("e/none")
        await self.attempt(str(len(self.sources)))
        await self.sources[-1].put(self.log.start("a"), self.log.start("b"))

    async def attempt(self, token: str) -> None:
        begun = await self.log.log.begin_run(self.log.session_id, "run", token)
        self.source(begun.producer, "run", begun.attempt)

    async def step(self, chance: random.Random, most: int) -> object:
        """Do something, a piece of text if it is none of the rarer things; what came of it."""
        try:
            return await self._step(chance, chance.randrange(most))
        except StepwireError as error:
            return type(error), str(error).replace(self.log.session_id, "S")

    async def _step(self, chance: random.Random, what: int) -> object:
        # Most of it comes of one source, in a row.
        source = self.sources[chance.choice([-1, -1, -1, *range(len(self.sources))])]
        name = chance.choice(["a", "a", "a", "b"])
        text = chance.choice(["word ", "", "=x", '"\n', "ünï", "z" * 128])
        keys = SessionKeys.of(self.log.session_id)
        match what:
            case 0:
                await self.log.redis.delete(chance.choice([keys.tail, keys.out("output", name)]))
            case 1:
                return self._shown(await source.send(source.writer.batch(first=3)))
            case 2 if self.sent:
                # Its answer was lost.
                return self._shown(await source.send(self.sent[-1]))
            case 3:
                await self.attempt(str(len(self.sources)))
            case 4:
                begun = await self.log.log.begin_run(self.log.session_id, "other", "x")
                return begun.attempt
            case 5:
                # What writes to it goes on, as if it were the same session.
                await self.log.log.delete(self.log.session_id)
                await self.begin()
            case _:
                events = self._rare(name, text).get(what) or [delta_event(name, text)]
                self.sent.append(source.writer.batch(*events))
                return self._shown(await source.put(*events))
        return None

    def _rare(self, name: str, text: str) -> dict[int, list[NewEvent]]:
        ended = {"ended_at": "2026-01-01T00:00:00.000Z", "will_retry": True}
        return {
            6: [step_event("step.update", self.log.step(name, output=text))],
            7: [remove_event(name), self.log.start(name)],
            8: [delta_event(name, text, replace=True)],
            9: [delta_event(name, "large" * 30)],
            10: [delta_event(name, text), delta_event("none", text)],
            11: [delta_event(name, text), user_value_event("v", '"1"')],
            12: [delta_event(name, text, field="input")],
            13: [run_end_event(a_run("run", "ok", **ended))],
        }

    def _shown(self, appended: Appended) -> object:
        return appended.top.seq, appended.stored, appended.created

    async def left(self) -> object:
        """What is in Redis of the session, and the events of its log, without instants.

        In the tail a text may have one letter where the whole calls have given it several, as each
        knows the last one only: so the log is compared as it reads.
        """
        redis, keys = self.log.redis, SessionKeys.of(self.log.session_id)
        state: Any = await redis.hgetall(keys.state)  # type: ignore[misc]
        meta: Any = await redis.hgetall(keys.meta)  # type: ignore[misc]
        epoch = meta.pop(b"epoch")
        for field_ in (b"born", b"expires", b"log_bytes"):
            meta.pop(field_)
        names: Any = await redis.hkeys(keys.open)  # type: ignore[misc]
        texts = {name: await redis.get(keys.out(*name.decode().split(":"))) for name in names}
        read = await self.log.log.read(self.log.session_id, Cursor(int(epoch), 0))
        assert isinstance(read, LogTail)
        found = repr([*(sorted(of.items()) for of in (state, meta, texts)), read])
        found = re.sub(r"20..-..-..T..:..:..\....Z", "T", found)
        return found.replace(epoch.decode(), "E").replace(self.log.session_id, "S")


@pytest.mark.slow
@on_a_server
async def test_a_server_that_forgets_its_life_gets_whole_calls(log: Log) -> None:
    source = Source(log, log)
    await source.put(log.start("a"))
    await stream(source, 9)
    before = (await log.snapshot()).cursor
    await log.lose_the_life()
    await stream(source, 9)
    assert source.was_refused == 1
    assert Cursor.parse((await log.snapshot()).cursor).epoch > Cursor.parse(before).epoch
    assert await log.outputs() == {"a": "word " * 18}


@pytest.mark.slow
@on_a_server
async def test_a_lost_list_of_streams_is_made_anew_with_the_next_tail(log: Log) -> None:
    source = Source(log, log)
    await source.put(log.start("a"))
    await stream(source, 9)
    await log.redis.delete(SessionKeys.of(log.session_id).open)
    await stream(source, TAIL_PIECES)
    assert (await log.outputs())["a"].endswith("word " * 5)
    await source.put(step_event("step.end", log.step("a", output="whole", status="ok")))
    assert await log.outputs() == {"a": "whole"}


@pytest.mark.slow
@on_a_server
async def test_a_piece_that_has_no_room_is_not_stored(log: Log) -> None:
    await log.put(log.start("a"))
    place = (await log.put(delta_event("a", "x"))).place
    assert place is not None
    piece = Piece(log.batch(delta_event("a", "z")), place)
    _, held = await counted(log.redis, log.session_id)
    full = log.settings.model_copy(update={"session_max_bytes": held})
    assert await log.store.call(piece.call(full)) == 0
    other = Writer(log.log, log.session_id, name="e/other")
    for _ in range(TAIL_PIECES - 2):
        await other.put(delta_event("a", "y"))
    assert await log.store.call(piece.call(log.settings)) == 0
    assert await log.outputs() == {"a": "x" + "y" * (TAIL_PIECES - 2)}


def a_place(tail: int = 1, letter: bytes = b">") -> Place:
    return Place(b"7", tail, letter, b"1", 1_000)


def places(top: int, *told: tuple[str, Place]) -> TailPlaces:
    known = TailPlaces()
    for step, place in told:
        batch = Batch("session", [delta_event(step, "x")], producer="p")
        known.note(batch, Appended(Cursor(7, top), 1, False, place), 10.0)
    return known


def test_a_place_serves_its_text_until_the_expiry_is_due_or_the_tail_is_full() -> None:
    def piece(known: TailPlaces, event: NewEvent, now: float = 10.5, **more: Any) -> Piece | None:
        return known.piece(Batch("session", [event], producer="p", **more), now)

    known = places(5, ("a", a_place()), ("b", a_place(letter=b"?")))
    for step, letter in (("a", b">"), ("b", b"?")):
        found = piece(known, delta_event(step, "y"))
        assert found is not None
        assert found.place.letter == letter
    assert piece(known, delta_event("a", "y"), now=11.1) is None
    assert piece(known, delta_event("a", "y" * 129)) is None
    assert piece(known, delta_event("a", "ü" * 65)) is None
    assert piece(known, delta_event("a", "y", field="input")) is None
    assert piece(known, delta_event("a", "y", replace=True)) is None
    assert piece(known, delta_event("a", "y"), closing=True) is None
    assert piece(places(TAIL_PIECES, ("a", a_place())), delta_event("a", "y")) is None
    # Another tail has begun.
    later = places(5, ("a", a_place()), ("b", a_place(tail=3)))
    assert piece(later, delta_event("a", "y")) is None

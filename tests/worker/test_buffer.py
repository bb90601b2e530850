"""The buffer by itself: what merges, what goes out together, what is refused, what it weighs."""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import Future

import pytest

from stepwire._transport.append_call import (
    MAX_BATCH_EVENTS,
    MAX_DELTA_BYTES,
    AppendCall,
    Delta,
    ProgressUpdate,
)
from stepwire._transport.buffer import MAX_GROUP_BYTES, Buffer
from stepwire._transport.source import Source, fresh
from stepwire_core.errors import RunEnded, RunFenced, SessionFull, StepwireError, StoreUnavailable
from stepwire_core.wire.events import NewEvent, remove_event


def an_event(name: str = "a", payload: str = "{}") -> NewEvent:
    return NewEvent("start_step", "step.start", name, "-", payload)


def a_source(name: str = "p", session_id: str = "s") -> Source:
    return Source(name, session_id, "run", 1)


def stream(buffer: Buffer, source: Source, *texts: str, step_id: str = "a") -> None:
    for text in texts:
        buffer.put_delta(source, step_id, text, "output", False)


def texts(call: AppendCall) -> list[str]:
    return ["".join(item.parts) if isinstance(item, Delta) else id_of(item) for item in call.items]


def id_of(item: NewEvent | ProgressUpdate) -> str:
    return item.id if isinstance(item, NewEvent) else f"{item.step_id} {item.progress}"


def tell(buffer: Buffer, source: Source, progress: str, step_id: str = "a") -> None:
    """As a producer does it."""
    if not buffer.replace_progress(source, step_id, progress, "later"):
        update = ProgressUpdate(step_id, "-", "{", progress, "now")
        buffer.put_progress(source, update)


def outcome(future: Future[None]) -> BaseException | None:
    assert future.done()
    return future.exception()


def answer(answers: list[tuple[Future[None], StepwireError | None]]) -> None:
    for future, error in answers:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def flush(buffer: Buffer, source: Source) -> Future[None]:
    future: Future[None] = Future()
    answer(buffer.flush(source, future))
    return future


def test_adjacent_pieces_of_one_step_merge_and_others_do_not() -> None:
    buffer, source = Buffer(), a_source()
    stream(buffer, source, "a", "b")
    stream(buffer, source, "c", step_id="other")
    stream(buffer, source, "d")
    buffer.put_delta(source, "a", "e", "output", True)
    stream(buffer, source, "f")
    [call] = buffer.take()
    assert texts(call) == ["ab", "c", "d", "ef"]
    assert call.count == 4


def test_progress_replaces_what_waits_unless_something_of_its_step_came_after_it() -> None:
    buffer, source = Buffer(), a_source()
    for progress in ("1", "2"):
        tell(buffer, source, progress)
        tell(buffer, source, progress, "b")
    before = buffer.weight
    tell(buffer, source, "345")
    assert buffer.weight == before + 2
    stream(buffer, source, "text")
    tell(buffer, source, "6")
    tell(buffer, source, "7", "b")
    tell(buffer, source, "8")
    [call] = buffer.take()
    assert texts(call) == ["a 345", "b 7", "text", "a 8"]
    assert source.taken == call.count == 4
    # A call that is under way is not changed any more.
    tell(buffer, source, "9")
    buffer.settle([call])
    [last] = buffer.take()
    assert texts(last) == ["a 9"]
    buffer.settle([last])
    assert buffer.weight == 0


def test_progress_of_another_source_begins_a_call_of_its_own() -> None:
    buffer, one, other = Buffer(), a_source("one"), a_source("other")
    tell(buffer, one, "1")
    tell(buffer, other, "2")
    tell(buffer, one, "3")
    assert [texts(call) for call in buffer.take()] == [["a 1"], ["a 2"], ["a 3"]]


def test_a_merged_piece_stays_small() -> None:
    buffer, source = Buffer(), a_source()
    stream(buffer, source, *["é" * 1000] * 20)
    [call] = buffer.take()
    assert [item.size for item in call.items if isinstance(item, Delta)] == [16_000, 16_000, 8_000]
    assert all(item.size <= MAX_DELTA_BYTES for item in call.items if isinstance(item, Delta))


def test_events_of_one_session_keep_their_order_whichever_source_they_came_from() -> None:
    buffer, one, two, elsewhere = Buffer(), a_source("1"), a_source("2"), a_source("3", "other")
    for source, name in ((one, "a"), (two, "b"), (elsewhere, "x"), (one, "c"), (one, "d")):
        buffer.put(source, [an_event(name)])
    assert [texts(call) for call in buffer.take()] == [["a"], ["b"], ["x"], ["c", "d"]]


def test_what_comes_after_a_call_was_taken_begins_another() -> None:
    buffer, source = Buffer(), a_source()
    stream(buffer, source, "a")
    [first] = buffer.take()
    stream(buffer, source, "b")
    [second] = buffer.take()
    assert (texts(first), texts(second)) == (["a"], ["b"])
    assert (first.prepared().first, second.prepared().first) == (1, 2)
    assert first.prepared() is first.prepared()


def test_a_call_and_a_group_are_bounded() -> None:
    buffer, source = Buffer(), a_source()
    for number in range(MAX_BATCH_EVENTS + 1):
        buffer.put(source, [an_event(str(number))])
    assert [len(call.items) for call in buffer.take()] == [MAX_BATCH_EVENTS, 1]
    for _ in range(10):
        buffer.put(source, [an_event(payload="x" * (MAX_GROUP_BYTES // 4))])
    groups = []
    while calls := buffer.take():
        groups.append(len(calls))
    assert groups == [4, 4, 2]


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 100_000, "漢" * 100_000, "😀" * 100_000])
def test_an_event_weighs_what_it_takes_in_memory(text: str) -> None:
    """Whatever its alphabet: one emoji makes every character of a text take four bytes."""
    buffer, source = Buffer(), a_source()
    buffer.put(source, [an_event(payload=text)])
    assert sys.getsizeof(text) <= buffer.weight <= sys.getsizeof(text) + 1000
    stream(buffer, source, text)
    assert 2 * sys.getsizeof(text) <= buffer.weight <= 2 * sys.getsizeof(text) + 2000
    buffer.settle(buffer.take())
    assert buffer.weight == 0


def test_small_tokens_weigh_what_their_objects_take() -> None:
    buffer, source = Buffer(), a_source()
    tokens = [f"t{number}" for number in range(10_000)]
    stream(buffer, source, *tokens)
    assert buffer.weight >= sum(sys.getsizeof(token) for token in tokens)


def test_a_flush_is_over_when_the_events_of_its_own_source_are() -> None:
    buffer, one, two = Buffer(), a_source("1"), a_source("2", "other")
    stream(buffer, one, "a")
    assert outcome(flush(buffer, two)) is None
    stream(buffer, two, "b")
    of_one, of_two = flush(buffer, one), flush(buffer, two)
    first, second = buffer.take()
    answer(buffer.settle([second]))
    assert outcome(of_two) is None
    assert not of_one.done()
    stream(buffer, one, "later")
    answer(buffer.settle([first]))
    assert outcome(of_one) is None


def test_a_source_that_fails_lets_go_of_what_it_has_waiting_and_of_nothing_else() -> None:
    buffer, one, two = Buffer(), a_source("1"), a_source("2", "other")
    stream(buffer, one, "a")
    [under_way] = buffer.take()
    stream(buffer, one, "b" * 1000)
    stream(buffer, two, "c")
    waiting = flush(buffer, one)
    answer(buffer.fail(one, StoreUnavailable("gone")))
    assert isinstance(outcome(waiting), StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        stream(buffer, one, "d")
    answer(buffer.settle([under_way]))
    rest = buffer.take()
    assert [texts(call) for call in rest] == [["c"]]
    buffer.settle(rest)
    assert buffer.weight == 0


def test_a_flush_of_events_that_are_all_dropped_is_told_why() -> None:
    buffer, source = Buffer(), a_source()
    stream(buffer, source, "a")
    waiting = flush(buffer, source)
    answer(buffer.fail(source, StoreUnavailable("gone")))
    assert isinstance(outcome(waiting), StoreUnavailable)


def test_a_run_that_is_ending_takes_what_ends_something_and_then_its_end() -> None:
    buffer, source = Buffer(), a_source()
    stream(buffer, source, "a")
    buffer.seal(source)
    with pytest.raises(RunEnded):
        buffer.put(source, [an_event()])
    with pytest.raises(RunEnded):
        stream(buffer, source, "b")
    step_end = NewEvent("end_step", "step.end", "a", "-", "{}")
    buffer.put(source, [an_event("an element with it"), step_end])
    run_end = NewEvent("end_run", "run.end", "run", "-", "{}")
    buffer.put_end(source, [run_end], None)
    with pytest.raises(RunEnded):
        buffer.put(source, [step_end])
    assert [texts(call) for call in buffer.take()] == [["a"], ["an element with it", "a", "run"]]


def test_of_a_full_session_only_ends_go_out_in_the_place_of_what_was_refused() -> None:
    buffer, source = Buffer(), a_source()
    buffer.put(source, [an_event("a"), remove_event("b")])
    [refused] = buffer.take()
    assert refused.prepared().first == 1
    buffer.put(source, [an_event("c"), remove_event("d")])
    full = SessionFull("s", "steps", 1)
    buffer.refused(full, [refused])
    [waiting] = buffer.take()
    assert (texts(refused), texts(waiting)) == (["b"], ["d"])
    assert (refused.prepared().first, waiting.prepared().first) == (1, 2)
    assert refused.prepared().closing
    answer(buffer.settle([refused, waiting]))
    assert isinstance(outcome(flush(buffer, source)), SessionFull)
    assert outcome(flush(buffer, source)) is None, "it is said once"
    buffer.put(source, [an_event("e"), remove_event("f")])
    assert [texts(call) for call in buffer.take()] == [["f"]]


@pytest.mark.parametrize(
    "error", [RunFenced("s", "run", 1, 2), SessionFull("s", "bytes", 3), StoreUnavailable("away")]
)
def test_an_error_that_is_raised_again_and_again_does_not_grow(error: StepwireError) -> None:
    buffer, source = Buffer(), a_source()
    if isinstance(error, SessionFull):
        source.full = error
    else:
        buffer.fail(source, error)
    raised = []
    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            stream(buffer, source, "x")
        raised.append(caught.value)
    assert len(set(map(id, raised))) == 3
    assert len({len(traceback.extract_tb(one.__traceback__)) for one in raised}) == 1
    assert error.__traceback__ is None
    assert all((str(one), vars(one)) == (str(error), vars(error)) for one in raised)


def test_a_fresh_error_has_all_that_the_first_one_had() -> None:
    error = RunFenced("s", "run", 1, 2)
    again = fresh(error)
    assert again is not error
    assert (str(again), again.attempt, again.current) == (str(error), 1, 2)


def test_sources_that_have_waited_for_too_long_are_told_apart() -> None:
    now = 0.0
    buffer = Buffer(clock=lambda: now)
    early, late = a_source("1"), a_source("2", "other")
    stream(buffer, early, "a")
    now = 10.0
    stream(buffer, early, "b")
    stream(buffer, late, "c")
    assert buffer.waiting_since("s", 5.0) == [early]
    assert buffer.waiting_since("other", 5.0) == []


def test_what_is_held_goes_out_again_first_and_holds_up_its_own_session_alone() -> None:
    now = 0.0
    buffer = Buffer(clock=lambda: now)
    held, beside, other = a_source("1"), a_source("2"), a_source("3", "other")
    stream(buffer, held, "a")
    calls = buffer.take()
    buffer.hold(calls, 1.0)
    stream(buffer, held, "b")
    stream(buffer, beside, "c")
    stream(buffer, other, "d")
    assert [call.source for call in buffer.take()] == [other]
    assert buffer.take() == []
    assert buffer.held_for_s == 1.0
    assert list(buffer.waiting_since("s", 0.0)) == [held, beside]
    now = 1.0
    assert [call.source for call in buffer.take()] == [held, held, beside]
    assert buffer.held_for_s is None


def test_a_source_that_fails_lets_go_of_what_is_held() -> None:
    buffer = Buffer(clock=lambda: 0.0)
    doomed, beside = a_source("1"), a_source("2")
    stream(buffer, doomed, "a")
    stream(buffer, beside, "b")
    calls = buffer.take()
    buffer.hold(calls, 1.0)
    buffer.fail(doomed, RunEnded("s", "run"))
    assert buffer.weight == calls[1].weight
    assert buffer.take_all() == [calls[1]]
    assert not buffer.take_all()

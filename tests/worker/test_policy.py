"""What decorators take, what `cl.enqueue` refuses, and both in a user's own tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stepwire._handlers.policy import LONGEST_BACKOFF_S, Policy
from stepwire._handlers.registry import collecting
from stepwire.testing import App

pytestmark = pytest.mark.anyio

api: Any = cl
"""As it looks to code that no type checker has read."""


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (
            lambda: api.on_message(concurrency="often"),
            "'often' is not known: give one of queue",
        ),
        (lambda: api.on_message(max_attempts=0), "max_attempts is a number, 1 or more, not 0"),
        (lambda: api.on_message(max_attempts=True), "not True"),
        (lambda: api.task(name="t", backoff_s=-1), "backoff_s is a number of seconds, not -1"),
        (
            lambda: api.task(name="t", timeout_s=math.inf),
            "timeout_s is a number of seconds",
        ),
        (
            lambda: api.task(name="t", backoff_s=math.nan),
            "backoff_s is a number of seconds",
        ),
        (lambda: cl.Retry(after=math.inf), "0 or more, not inf"),
        (lambda: api.task(name="t", timeout_s=0), "timeout_s is a number of seconds, not 0"),
        (lambda: api.task(name="t", retry_on="x"), "retry_on takes exception classes, not 'x'"),
        (lambda: api.task(name="t", retry_on=[KeyError, 3]), "exception classes, not 3"),
        (lambda: api.task(name="t", retry_on=BaseException), "exception classes, not <class"),
        (
            lambda: api.task(name="t", tries=3),
            "tries: not an option of a handler, which takes ",
        ),
        (lambda: api.task(name="on_message"), "cannot be called 'on_message'"),
        (lambda: api.task(name=""), "cannot be called ''"),
        (lambda: api.Retry(-1), "Retry takes the seconds to wait, 0 or more, not -1"),
        (lambda: api.Retry("soon"), "not 'soon'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_where_it_is_written(
    make: Callable[[], object], what: str
) -> None:
    with collecting(), pytest.raises(cl.InvalidArgument, match=what):
        make()


def test_the_wait_before_an_attempt_doubles_up_to_five_minutes() -> None:
    policy = Policy.of({"retry_on": OSError, "backoff_s": 2})
    delays = [policy.delay_s(ConnectionError(), attempt) for attempt in (1, 2, 3, 50, 5000)]
    assert delays == [2, 4, 8, LONGEST_BACKOFF_S, LONGEST_BACKOFF_S]
    assert policy.delay_s(ValueError(), 1) is None
    assert policy.delay_s(cl.Retry(7), 3) == 7


@cl.task
async def known(a: int, b: int = 2) -> int:
    return a + b


@cl.task
async def by_position(a: int, /) -> int:
    return a


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (
            lambda: api.enqueue(print, 1),
            "takes a function with @cl.task, or the name of a task; print",
        ),
        (lambda: api.enqueue(""), "or the name of a task"),
        (lambda: api.enqueue("on_message"), "or the name of a task; 'on_message' is neither"),
        (lambda: api.enqueue(known), "task 'known': missing a required argument: 'a'"),
        (lambda: api.enqueue(known, 1, c=3), "unexpected keyword argument 'c'"),
        (lambda: api.enqueue(known, object()), "have to reach another process"),
        (lambda: api.enqueue(known, float("nan")), "have to reach another process"),
        (lambda: api.enqueue("known", 1), r"by name: cl.enqueue\('known', a=…\)"),
        (lambda: api.enqueue(by_position, 1), "takes 'a' by position"),
    ],
)
async def test_what_cannot_be_handed_over_is_refused_before_anything_is_queued(
    bench: Bench, call: Callable[[], Any], what: str
) -> None:
    async def handler() -> None:
        with pytest.raises(cl.InvalidArgument, match=what):
            await call()

    assert (await bench.run(handler)).status == "ok"
    assert len((await bench.snapshot()).runs) == 1


async def test_a_task_outside_any_session_says_what_to_do() -> None:
    with pytest.raises(cl.NoActiveSession, match=r"with cl.session\(id\)"):
        await cl.enqueue(known, 1)


async def test_a_users_test_runs_the_parts_and_retries_without_waiting(
    stepwire_app: App,
) -> None:
    stepwire_app.load(str(Path(__file__).parent / "apps/flaky_parts.py"))
    assert (await stepwire_app.message("go")).status == "ok"
    agent = stepwire_app.tree["agent"]
    assert agent["Assistant"].output == "[0, 2, 4]"
    assert len([branch for branch in agent.children if branch.name.startswith("part")]) == 9
    run = await stepwire_app.task("fails")
    assert run.error is not None
    assert run.error.type == "TaskFailed"

"""The traceback of an error: the user's frames, no values, and only for those who may have it."""

from __future__ import annotations

import pytest

import stepwire as cl
from bench import Bench
from stepwire._values.tracebacks import MAX_CHARS, traceback_of

pytestmark = pytest.mark.anyio

SECRET = "the-value-of-a-variable"


def raised(make: object) -> Exception:
    try:
        make()  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("it did not raise")


def charge() -> None:
    password = SECRET
    assert password
    raise ValueError("the card was declined")


def through_a_library() -> None:
    import json

    class Odd:
        def __str__(self) -> str:
            return "odd"

    json.dumps([Odd()])


def with_a_cause() -> None:
    try:
        charge()
    except ValueError as error:
        raise RuntimeError("no order without a payment") from error


def test_it_names_the_frames_of_the_users_code_and_no_values() -> None:
    text = traceback_of(raised(charge))
    assert text is not None
    assert "test_tracebacks.py" in text
    assert "in charge" in text
    assert text.endswith("ValueError: the card was declined")
    assert SECRET not in text


def test_a_path_does_not_say_where_the_code_lies() -> None:
    text = traceback_of(raised(charge))
    assert text is not None
    assert f'File "{__file__}"' not in text


def test_frames_of_libraries_are_left_out_but_for_where_it_was_raised() -> None:
    text = traceback_of(raised(through_a_library))
    assert text is not None
    assert "in through_a_library" in text
    assert text.count('File "') <= 4
    assert "not JSON serializable" in text


def test_causes_and_groups_are_told() -> None:
    text = traceback_of(raised(with_a_cause))
    assert text is not None
    assert "direct cause" in text
    assert text.index("ValueError") < text.index("RuntimeError")
    group = BaseExceptionGroup("two", [raised(charge), raised(with_a_cause)])
    told = traceback_of(group)
    assert told is not None
    assert told.count("in charge") == 2


def test_it_is_bounded_whatever_was_raised() -> None:
    def deeper(left: int) -> None:
        if left == 0:
            raise ValueError("x" * 100_000)
        deeper(left - 1)

    text = traceback_of(raised(lambda: deeper(500)))
    assert text is not None
    assert len(text) < MAX_CHARS + 100
    error: BaseException = ValueError("the first")
    for number in range(300):
        following = ValueError(f"number {number}")
        following.__context__ = error
        error = following
    chain = traceback_of(error)
    assert chain is not None
    assert "number 299" in chain


def test_an_exception_that_cannot_be_printed_costs_nothing_else() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    text = traceback_of(Broken())
    assert text is None or "Broken" in text


@cl.step
async def pay() -> None:
    charge()


async def handler() -> None:
    await pay()


@pytest.mark.parametrize("setting", ["off", "operators", "clients"])
async def test_the_setting_decides_who_gets_it(bench: Bench, setting: str) -> None:
    bench.settings.tracebacks = setting  # type: ignore[assignment]
    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.message == "the card was declined"
    for error in (run.error, (await bench.steps())["pay"].error):
        assert error is not None
        assert (error.traceback is not None) == (setting == "clients")
        # Frames of stepwire itself lie between the step and its function, and are left out.
        assert "call_wrappers" not in str(error.traceback)

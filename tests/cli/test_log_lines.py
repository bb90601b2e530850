"""Entries of our logs: nobody who sends something writes one."""

from __future__ import annotations

import logging
import sys

import pytest

from stepwire_cli.log_lines import LineFormatter

FORGED = "2026-01-01T00:00:00.000Z ERROR   stepwire.worker: all is lost"


def formatted(message: str, *args: object, exc_info: bool = False, **fields: object) -> str:
    record = logging.LogRecord(
        *("stepwire.test", logging.WARNING, __file__, 1, message, args),
        sys.exc_info() if exc_info else None,
    )
    vars(record).update(fields)
    return LineFormatter("%(levelname)-7s %(name)s: %(message)s").format(record)


def test_an_entry_is_one_line_with_its_fields() -> None:
    line = formatted("%s is slow", "it", session_id="a", handlers=["one", "zwei ä"])
    assert line == "WARNING stepwire.test: it is slow session_id=a handlers=['one', 'zwei ä']"


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_no_value_begins_an_entry_of_its_own(ending: str) -> None:
    for line in (
        formatted("handler failed", handler=f"a{ending}{FORGED}"),
        formatted("%s failed", f"a{ending}{FORGED}"),
    ):
        first, *more = line.splitlines()
        assert first.startswith("WARNING stepwire.test: ")
        assert not [part for part in more if not part.startswith("    ")]
        assert "all is lost" in line


def test_no_value_is_obeyed_by_a_terminal() -> None:
    line = formatted("handler failed", handler="\x1b[2J\x1b]0;title\x07\x9b31m\x00\u202egnp.exe")
    assert line.isprintable()
    assert line.endswith(r"handler=\x1b[2J\x1b]0;title\x07\x9b31m\x00\u202egnp.exe")


def test_a_half_of_a_character_can_be_written() -> None:
    assert formatted("handler failed", handler="\ud83d").encode().endswith(rb"\ud83d")


def formatted_error(words: str) -> list[str]:
    """The lines of an entry with a traceback."""
    try:
        raise LookupError(words)  # noqa: TRY301 - what is logged has been raised
    except LookupError:
        return formatted("handler failed", exc_info=True).split("\n")


def test_what_an_error_says_is_part_of_its_entry() -> None:
    first, *more = formatted_error(f"no\n{FORGED}\x1b[2J")
    assert first == "WARNING stepwire.test: handler failed"
    assert more[0] == "    Traceback (most recent call last):"
    assert more[-2:] == ["    LookupError: no", rf"    {FORGED}\x1b[2J"]

"""Range and If-None-Match headers, as RFC 9110 has them."""

from __future__ import annotations

import pytest

from stepwire_gateway.http.ranges import Unsatisfiable, etag_matches, requested_span


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-3", range(4)),
        ("bytes=4-", range(4, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-10", range(10)),
        ("bytes=-99", range(10)),
        ("bytes=9-99", range(9, 10)),
        ("bytes=0-999999999999999999", range(10)),
        ("BYTES=1-2", range(1, 3)),
        ("bytes= 1-2 ", range(1, 3)),
    ],
)
def test_a_span_is_what_is_asked_for_and_there(header: str, span: range) -> None:
    assert requested_span(header, 10) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=1-2-3",
        "lines=0-3",
        "bytes=\u0661-\u0662",
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_a_header_of_another_form_asks_for_all(header: str | None) -> None:
    assert requested_span(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)],
)
def test_a_range_behind_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        requested_span(header, size)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_an_entity_is_known_by_any_of_its_tags(header: str | None, matches: bool) -> None:
    assert etag_matches(header, '"a"') is matches

"""What we say of arq's jobs, held against arq."""

from __future__ import annotations

import json

import pytest
from arq import constants
from arq.jobs import deserialize_job_raw

from stepwire_core.queue import arq_format


def test_the_keys_of_a_job_are_those_of_arq() -> None:
    for name in ("job_key_prefix", "in_progress_key_prefix", "retry_key_prefix"):
        assert getattr(arq_format, name) == getattr(constants, name)


def test_arq_reads_the_job_that_we_write() -> None:
    written = arq_format.serialize_job("a.function", {"run_id": "r"}, 2)
    function, arguments, named, _, queued_ms = deserialize_job_raw(written, deserializer=json.loads)
    assert (function, named) == ("a.function", {})
    assert arq_format.stored_job(written) == arq_format.StoredJob(
        "a.function", list(arguments), queued_ms
    )
    assert list(arguments) == [{"run_id": "r"}, 2]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x04K\x01.",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"f": "x", "a": null, "et": 1}',
        b'{"f": "x", "a": [], "et": 1e400}',
        b'{"f": "x", "a": [], "et": 1e30}',
        b'{"f": "x", "a": [], "et": -1}',
    ],
)
def test_what_others_have_queued_is_told_from_ours(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        arq_format.stored_job(raw)

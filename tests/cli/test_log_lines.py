"""Lines of the log: whole, readable by machines where that is asked for, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from typing import Any

import pytest

from stack import Stack
from stepwire_cli.log_lines import _JsonFormatter, _Secrets, _TextFormatter, ends_in_the_log
from stepwire_core.errors import SettingsError
from stepwire_core.settings import Settings
from stepwire_core.values.trace_context import TraceContext
from tokens import API_KEY, SECRET, bearer, token

APP = """
import logging
import stepwire as cl

@cl.on_message
async def answer(message):
    logging.getLogger("stepwire.mine").info("asked\\nin two lines", extra={"level": 3, "o": object})
    raise RuntimeError("the reason")
"""

SPAN = TraceContext("a" * 32, "b" * 16)


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("stepwire.test")
    return logger.makeRecord(logger.name, logging.INFO, "file", 1, message, args, None, extra=extra)


def as_json(entry: logging.LogRecord, settings: Settings | None = None) -> dict[str, Any]:
    line = _JsonFormatter(_Secrets(settings), lambda: SPAN).format(entry)
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def test_an_entry_is_one_object_with_its_fields_and_its_trace() -> None:
    entry = as_json(record("%s came\nlate", "it", run_id="r", level=7, odd={1, 2}))
    assert entry["message"] == "it came\nlate"
    assert (entry["level"], entry["logger"], entry["run_id"]) == ("INFO", "stepwire.test", "r")
    assert (entry["trace_id"], entry["span_id"]) == (SPAN.trace_id, SPAN.span_id)
    assert (entry["field_level"], entry["odd"]) == (7, "{1, 2}")
    assert entry["time"].endswith("Z")


def test_an_exception_is_a_field() -> None:
    entry = record("failed")
    with suppress(ValueError):
        try:
            int("x")
        finally:
            entry.exc_info = sys.exc_info()
    assert as_json(entry)["exception"].splitlines()[-1].startswith("ValueError")


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_a_line_whoever_writes_it(form: str) -> None:
    settings = Settings.model_validate(
        {
            "auth_secrets": SECRET,
            "api_keys": API_KEY,
            "redis_url": "redis+sentinel://app:pass%2Fw%C3%B6rd@a,b/name?sentinel_password=s%2Fentry",
            "queue_url": "redis://127.0.0.1:1/0?password=opened%2Fdoor",
        }
    )
    signed = token("*")
    entry = record(
        "connects to %s and %s with pass/wörd, s/entry, opened/door",
        settings.redis_url,
        settings.queue_url,
        key=API_KEY,
        made=SECRET,
        path=f"/v1/x?a=1&token={signed}&b=2",
        header=f"Authorization: Bearer {signed}",
    )
    secrets = _Secrets(settings)
    formatter = _TextFormatter(secrets) if form == "text" else _JsonFormatter(secrets, lambda: None)
    line = formatter.format(entry)
    of_redis = ("pass%2Fw", "pass/w", "s%2Fentry", "s/entry", "opened%2Fdoor", "opened/door")
    for secret in (API_KEY, SECRET, signed, *of_redis):
        assert secret not in line
    assert "b=2" in line


def test_the_reason_why_a_process_ends_is_a_line_like_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as left, ends_in_the_log(Settings(log_format="json")):
        raise SettingsError("no Redis answers")
    assert left.value.code == 1
    assert caplog.messages == ["this process ends: no Redis answers"]
    with pytest.raises(SettingsError), ends_in_the_log(Settings()):
        raise SettingsError("no Redis answers")


def test_processes_write_nothing_but_json_when_they_are_told_to(stack: Stack) -> None:
    env = {"STEPWIRE_LOG_FORMAT": "json", "STEPWIRE_ACCESS_LOG": "true"}
    secrets = {"STEPWIRE_AUTH_SECRETS": SECRET, "STEPWIRE_API_KEYS": API_KEY}
    gateway = stack.gateway(port=None, **env, **secrets)
    worker = stack.worker(APP, **env)
    gateway.client.headers.update(bearer(API_KEY))
    session = gateway.create_session()
    signed = token(session, rights=("read",))
    path = f"/v1/sessions/{session}"
    told = {"traceparent": SPAN.header()}
    sent = gateway.client.post(f"{path}/messages", json={"content": "Hi"}, headers=told).json()
    gateway.wait_for_end(session, sent["run_id"])
    assert gateway.client.get(path, params={"token": signed}, headers={}).status_code == 200
    worker.stop()
    gateway.child.stop()
    of_worker = [json.loads(line) for line in worker.output.splitlines()]
    of_gateway = [json.loads(line) for line in gateway.child.output.splitlines()]
    answered = {entry["message"]: entry for entry in of_worker}
    assert answered["asked\nin two lines"]["trace_id"] == SPAN.trace_id
    assert "the reason" in answered["handler failed"]["exception"]
    posted = next(entry for entry in of_gateway if entry.get("path") == f"{path}/messages")
    assert (posted["logger"], posted["method"]) == ("stepwire.access", "POST")
    assert (posted["status"], posted["route"]) == (202, "/v1/sessions/{session_id}/messages")
    assert posted["trace_id"] == SPAN.trace_id
    for secret in (SECRET, API_KEY, signed):
        assert secret not in worker.output + gateway.child.output


FORGED = "2026-01-01T00:00:00.000Z ERROR   stepwire.worker: all is lost"


def formatted(message: str, *args: object, exc_info: bool = False, **fields: object) -> str:
    record = logging.LogRecord(
        *("stepwire.test", logging.WARNING, __file__, 1, message, args),
        sys.exc_info() if exc_info else None,
    )
    vars(record).update(fields)
    # Behind the time.
    return _TextFormatter(_Secrets(None)).format(record).partition("Z ")[2]


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


def test_no_value_begins_a_line_or_is_obeyed_by_a_terminal_in_json() -> None:
    odd = "a\u2028b\x85c\x9b31m\x7f\u202e\ud83d"
    entry = record("handler failed", handler=odd)
    line = _JsonFormatter(_Secrets(None), lambda: None).format(entry)
    assert line.isprintable()
    assert line.encode()
    assert json.loads(line)["handler"] == odd


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

"""Ids, cursors, settings, times: small things that all else stands on."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import stepwire_core.errors
from stepwire_core.errors import InvalidCursor, InvalidId, SettingsError, StepwireError
from stepwire_core.process.listen_address import require_address
from stepwire_core.process.redis_rights import require
from stepwire_core.settings import Settings, load_settings
from stepwire_core.values.clock import now, written
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import check_id, derived_id, new_id
from stepwire_core.wire.events import escape


@pytest.mark.parametrize(
    "text", ["", "1", "-1", "1-", "a-1", "1-2-3", " 1-2", "1-2\n", "1-2 ", "²-1"]
)
def test_a_cursor_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="<epoch>-<seq>"):
        Cursor.parse(text)


def test_a_cursor_reads_what_it_writes() -> None:
    assert Cursor.parse(str(Cursor(1763837100123, 42))) == (1763837100123, 42)


@pytest.mark.parametrize(
    "value", ["", "a b", "a\n", "-a", "a{b}", 'a"', "ä", "a/b", "x" * 129, 7, None]
)
def test_an_id_that_keys_or_urls_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(InvalidId, match="step id"):
        check_id(value, "step")


def test_uuids_are_ids() -> None:
    value = uuid.uuid4()
    assert check_id(value, "step") == str(value)


def test_new_ids_differ_and_derived_ids_do_not() -> None:
    assert new_id() != new_id()
    assert derived_id("a", "b") == derived_id("a", "b") != derived_id("ab", "")
    assert check_id(derived_id("a"), "run")


def test_new_ids_are_random_uuids_and_none_comes_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        ids = [
            id_
            for some in threads.map(lambda _: [new_id() for _ in range(500)], range(8))
            for id_ in some
        ]
    assert len(set(ids)) == len(ids)
    assert {(uuid.UUID(id_).version, uuid.UUID(id_).variant) for id_ in ids} == {(4, uuid.RFC_4122)}
    assert all(id_ == uuid.UUID(id_).hex for id_ in ids)
    # Each digit that is not fixed takes all of its values.
    assert [len(set(digits)) for digits in zip(*ids, strict=True)] == [16] * 12 + [1] + [16] * 3 + [
        4
    ] + [16] * 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_ids_of_its_own() -> None:
    code = """
import os
from stepwire_core.values.ids import new_id
new_id()
if os.fork():
    os.wait()
print(new_id())
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    child, parent = done.stdout.split()
    assert child != parent


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_763_837_100_999, "2025-11-22T18:45:00.999Z"),
        (1_763_837_101_000, "2025-11-22T18:45:01.000Z"),
    ],
)
def test_a_time_is_that_of_its_second(time_ms: int, text: str) -> None:
    assert written(time_ms) == text


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_the_time_now_goes_with_the_clock_also_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5_000_000, 5_999_999, 6_000_000, 1_005_000_000, 5_000_000])
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    seconds = [now().removeprefix("1970-01-01T00:00:") for _ in range(5)]
    assert seconds == ["00.005Z", "00.005Z", "00.006Z", "01.005Z", "00.005Z"]


@pytest.mark.parametrize(
    "text", ["", "plain", 'quote " back \\', "\n\t\x00\x1f", "héé 😀", "\u2028"]
)
def test_escaped_text_stands_between_quotes(text: str) -> None:
    assert json.loads(f'"{escape(text)}"') == text
    assert "\n" not in escape(text)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STEPWIRE_PORT", "http", "valid integer"),
        ("STEPWIRE_LEASE_S", "0.5", "greater than or equal to 2"),
        ("STEPWIRE_REDIS_URL", "localhost:6379", ": must begin with one of redis://"),
        ("STEPWIRE_REDIS_URL", "redis://host:port", "redis://host:6379/0"),
        ("STEPWIRE_REDIS_URL", "redis://[::1", "redis://host:6379/0"),
        ("STEPWIRE_QUEUE_URL", "redis://host/queue", "the number of a database"),
        ("STEPWIRE_HOST", "", "at least 1 character"),
        ("STEPWIRE_LEASE_S", "inf", "at most"),
        ("STEPWIRE_SESSION_TTL_S", "99999999999", "at most"),
        ("STEPWIRE_LOG_MAX_EVENTS", "99999999999999999999", "at most"),
        ("STEPWIRE_AUTH_JWKS_URL", "https://host:port/keys", "is not an address"),
        ("STEPWIRE_AUTH_OPEN_HOSTS", "http://app.example", "names of hosts"),
        ("STEPWIRE_AUTH_OPEN_HOSTS", "app.example:8000", "names of hosts"),
        ("STEPWIRE_CORS_ORIGINS", "https://app.example:port", "must be origins"),
        ("STEPWIRE_FACES", "aisdk,ag-ui", "'ag-ui' is not a face; known are aisdk, agui"),
        ("STEPWIRE_ROOT_PATH", "/aisdk", "must not begin as the gateway's own addresses do"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert f"{name}='{value}'" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("url", ["http://me:secret@host", "redis://:sec/ret@host:6379"])
def test_a_wrong_address_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("STEPWIRE_REDIS_URL", url)
    with pytest.raises(SettingsError, match=r"STEPWIRE_REDIS_URL='.*@host") as raised:
        load_settings()
    assert "ret@" not in str(raised.value)


def test_what_settings_take_beside_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("rediss://host", "redis://[::1]:1/2?client_name=me", "unix:///run/redis/s?db=1"):
        assert load_settings(redis_url=url).redis_url == url
    hosts = "app.example,localhost, [::1],App_1"
    assert load_settings(auth_open_hosts=hosts).auth_open_hosts == hosts
    origins = "https://app.example,http://localhost:3000,http://[::1]:80"
    assert load_settings(cors_origins=origins).cors_origins == origins


def test_an_address_that_nobody_can_listen_on_is_said_with_what_to_change() -> None:
    require_address("localhost", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(SettingsError, match=rf"port {port} is taken on {host}: .*--port"):
                require_address(host, port)
    for host in ("no.such.host.invalid", "192.0.2.1", "a" * 70):
        with pytest.raises(SettingsError, match=f"cannot listen on '{host}' .*STEPWIRE_HOST"):
            require_address(host, 0)


def test_settings_are_read_from_a_dot_env_file_and_given_values_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("STEPWIRE_PORT=8123\nSTEPWIRE_MAX_JOBS=3\nOTHER=1\n")
    settings = load_settings(port=8124, host=None)
    assert (settings.port, settings.max_jobs, settings.host) == (8124, 3, "127.0.0.1")


def test_every_setting_has_a_description_and_a_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


def test_the_error_tree_in_the_docstring_is_complete() -> None:
    tree = stepwire_core.errors.__doc__ or ""
    defined = [
        name
        for name, value in vars(stepwire_core.errors).items()
        if isinstance(value, type) and issubclass(value, StepwireError)
    ]
    assert [name for name in defined if not re.search(rf"\b{name}\b", tree)] == []


@pytest.mark.anyio
async def test_a_missing_server_is_one_line_that_says_what_to_start() -> None:
    with pytest.raises(SettingsError) as raised:
        await require("redis://:secret@127.0.0.1:1/0", "STEPWIRE_REDIS_URL")
    message = str(raised.value)
    assert "\n" not in message
    assert "secret" not in message
    for word in ("127.0.0.1:1", "redis-server", "STEPWIRE_REDIS_URL", "stepwire dev"):
        assert word in message

"""``stepwire doctor`` finds what is wrong with a deployment, and says what to change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from click.testing import CliRunner
from redis import Redis

from http_server import serving
from stack import Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_cli.doctor.finding import Finding
from stepwire_cli.doctor.gateway_checks import FIRST_BYTES_S, look_at_gateway
from stepwire_cli.main import main
from stepwire_core.values.ids import new_id
from tokens import API_KEY, SECRET, token

Found = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    with embedded_server() as running:
        yield running


@pytest.fixture
def admin(own: EmbeddedServer) -> Iterator[Redis]:
    with Redis.from_url(own.url, decode_responses=True) as redis:
        names = ("maxmemory", "maxmemory-policy", "appendonly", "maxclients")
        before = {name: cast("dict[str, str]", redis.config_get(name))[name] for name in names}
        yield redis
        for name, value in before.items():
            redis.config_set(name, value)
        redis.config_resetstat()


def examined(*options: str, **env: str) -> tuple[int, Found]:
    """The exit code, and what was found, by what was looked at."""
    done = CliRunner(env={"STEPWIRE_ENV_FILE": "", **env}).invoke(
        main, ["doctor", "--json", *options], catch_exceptions=False
    )
    found = [Finding.model_validate(item) for item in json.loads(done.output)]
    return done.exit_code, {(f.subject, f.check): f.model_dump() for f in found}


def test_a_deployment_that_is_in_order(stack: Stack, admin: Redis, own: EmbeddedServer) -> None:
    admin.config_set("maxmemory", "500mb")
    admin.config_set("appendonly", "yes")
    env = {"STEPWIRE_REDIS_URL": own.url, "STEPWIRE_MAX_ATTEMPTS": "2"}
    stack.worker("import stepwire as cl\n@cl.on_message\nasync def f(m): ...", **env)
    gateway = stack.gateway(port=None, **env)
    settings = env | {"STEPWIRE_QUEUE_NAME": stack.queue}
    code, found = examined("--gateway", gateway.url, "--strict", **settings)
    assert {key: f for key, f in found.items() if f["level"] not in ("ok", "unknown")} == {}
    assert code == 0
    assert found["gateway", "streams"]["level"] == "ok"
    assert found["workers", "registered"]["found"].startswith("1, with 10 slots")
    assert found["redis", "persistence"]["found"] == "append-only file"


def test_what_a_redis_may_lose_is_found(admin: Redis, own: EmbeddedServer) -> None:
    env = {"STEPWIRE_REDIS_URL": own.url, "STEPWIRE_QUEUE_NAME": f"queue:{new_id()}"}
    admin.config_set("appendonly", "no")
    admin.config_set("maxmemory", "0")
    code, found = examined(**env)
    assert code == 1
    assert found["redis", "persistence"]["level"] == "warning"
    assert "appendonly yes" in found["redis", "persistence"]["todo"]
    assert "noeviction" in found["redis", "memory"]["todo"]
    assert found["workers", "registered"]["level"] == "error"
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.config_set("maxmemory", "500mb")
    _, found = examined(**env)
    assert found["redis", "start"]["level"] == "error"
    assert "set maxmemory-policy to noeviction" in found["redis", "start"]["todo"]


def test_a_right_that_is_missing_is_told_as_the_command_that_gives_it(
    admin: Redis, own: EmbeddedServer
) -> None:
    rules = (
        "on >secret-word ~stepwire:* ~queue:* ~arq:* &stepwire:* +@all -@admin -@dangerous -xadd"
    )
    admin.execute_command("ACL", "SETUSER", "app", "reset", *rules.split(), "-xadd")
    url = f"redis://app:secret-word@127.0.0.1:{own.port}/0"
    code, found = examined(STEPWIRE_REDIS_URL=url, STEPWIRE_QUEUE_NAME=f"queue:{new_id()}")
    assert code == 1
    assert "ACL SETUSER app +xadd" in found["redis", "start"]["todo"]
    assert found["redis", "server"]["level"] == "unknown"
    assert "secret-word" not in repr(found)


def test_a_redis_that_is_not_there_is_one_error_and_the_rest_is_looked_at() -> None:
    code, found = examined(
        "--gateway", "http://127.0.0.1:1", STEPWIRE_REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert code == 1
    assert "no Redis answers" in found["redis", "start"]["found"]
    assert "start one there" in found["redis", "start"]["todo"]
    assert found["gateway", "address"]["level"] == "error"
    assert ("workers", "registered") not in found


def test_misspelt_settings_are_named_and_warnings_fail_only_when_told_to(
    own: EmbeddedServer, stack: Stack
) -> None:
    env = {"STEPWIRE_REDIS_URL": own.url, "STEPWIRE_MAX_JOB": "3"}
    _, found = examined(**env, STEPWIRE_QUEUE_NAME=stack.queue)
    assert found["settings", "names"]["todo"] == "write STEPWIRE_MAX_JOBS"
    stack.worker("import stepwire as cl\n@cl.on_message\nasync def f(m): ...", **env)
    settings = env | {"STEPWIRE_QUEUE_NAME": stack.queue}
    assert examined(**settings)[0] == 0
    assert examined("--strict", **settings)[0] == 1


def test_a_gateway_that_asks_for_tokens_is_looked_at_with_one(
    stack: Stack, own: EmbeddedServer
) -> None:
    gateway = stack.gateway(
        port=None,
        STEPWIRE_REDIS_URL=own.url,
        STEPWIRE_AUTH_SECRETS=SECRET,
        STEPWIRE_API_KEYS=API_KEY,
    )
    without = {(f.subject, f.check): f for f in look_at_gateway(gateway.url, None)}
    assert without["gateway", "streams"].level == "unknown"
    assert "--token-file" in without["gateway", "streams"].found
    signed = token("*", rights=("read",))
    found = {(f.subject, f.check): f for f in look_at_gateway(gateway.url, signed)}
    assert found["gateway", "streams"].level == "ok"


@contextmanager
def proxy(
    *, holds_back: bool, encoding: str | None = None, health: bytes = b'{"status": "ready"}'
) -> Iterator[str]:
    """A gateway as it looks behind a proxy that was set up badly."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/v1/events":
                self.send_header("content-type", "text/event-stream")
                if encoding is not None:
                    self.send_header("content-encoding", encoding)
                self.end_headers()
                if not holds_back:
                    self.wfile.write(b"retry: 1000\n\n")
                over.wait(30)
                return
            body = b'{"status": "ok"}' if "z" in self.path else b'{"info": {"version": "0.0.1"}}'
            body = health if self.path == "/readyz" else body
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        try:
            yield url
        finally:
            over.set()


def test_a_gateway_of_which_a_part_is_away_is_found() -> None:
    problem = "127.0.0.1:7003: Redis does not answer"
    health = json.dumps({"status": "ready", "problems": [problem]})
    with proxy(holds_back=False, health=health.encode()) as url:
        found = {(f.subject, f.check): f for f in look_at_gateway(url, None)}
    assert found["gateway", "ready"].level == "warning"
    assert problem in found["gateway", "ready"].found


def test_a_proxy_that_holds_streams_back_is_found() -> None:
    with proxy(holds_back=True, encoding="gzip") as url:
        found = {(f.subject, f.check): f for f in look_at_gateway(url, None)}
    streams = found["gateway", "streams"]
    assert streams.level == "error"
    assert f"within {FIRST_BYTES_S:g} s" in streams.found
    assert "proxy_buffering off" in (streams.todo or "")
    assert found["gateway", "compression"].level == "warning"
    assert found["gateway", "version"].level == "warning"
    with proxy(holds_back=False) as url:
        found = {(f.subject, f.check): f for f in look_at_gateway(url, None)}
    assert found["gateway", "streams"].level == "ok"


def test_it_is_shown_as_lines_for_people(own: EmbeddedServer) -> None:
    env = {"STEPWIRE_ENV_FILE": "", "STEPWIRE_REDIS_URL": own.url}
    env |= {"STEPWIRE_QUEUE_NAME": f"queue:{new_id()}"}
    done = CliRunner(env=env).invoke(main, ["doctor"], catch_exceptions=False)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert any(line.startswith("error   workers, registered: none has") for line in lines)
    assert "        -> start one (stepwire worker app.py)" in done.output
    assert lines[-1].endswith("warnings")

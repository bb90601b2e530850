"""``stepwire dev``, ``make demo`` and the other commands, as a person at a terminal meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import tokens
from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import free_port
from stepwire_cli.main import main
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.settings import PLACES, Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest

ROOT = Path(__file__).parents[2]
STEPWIRE = [sys.executable, "-m", "stepwire_cli"]

APP = """
import stepwire as cl

@cl.on_message
async def main(message):
    await cl.Message("{answer}").send()
"""


def stepwire(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STEPWIRE, *arguments],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Dev:
    """A running ``stepwire dev``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def answer(self) -> str:
        """The answer in a new session, or nothing while no gateway answers."""
        with httpx.Client(base_url=self.url, timeout=10) as client:
            session = client.post("/v1/sessions").json()["session_id"]
            client.post(f"/v1/sessions/{session}/messages", json={"content": "hi"})
            for _ in range(100):
                steps = client.get(f"/v1/sessions/{session}").json()["steps"]
                if len(steps) == 2 and steps[1]["status"] == "ok":
                    return str(steps[1]["output"])
                time.sleep(0.05)
        return ""


def _group_members(marker: str) -> list[str]:
    """Processes whose environment names this test's marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def _address(output: str) -> tuple[str, int]:
    """Where the embedded server listens; its own process hides its environment."""
    match = re.search(r"redis://(127\.0\.0\.1):(\d+)", output)
    assert match is not None
    return match[1], int(match[2])


@contextmanager
def dev(
    tmp_path: Path,
    *options: str,
    port: int | None = 0,
    app: str = "app.py",
    command: Sequence[str] = STEPWIRE,
) -> Iterator[Dev]:
    """Let it run; on a free port, or, with None, on that of the settings."""
    log = tmp_path / "dev.log"
    if port is not None:
        port = port or free_port()
        options = ("--port", str(port), *options)
    env = os.environ | {"STEPWIRE_TEST_MARKER": str(tmp_path)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "dev", app, *options],
            cwd=tmp_path,
            env=env,
            stdout=output,
            stderr=output,
        )
    running = Dev(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(lambda: "inspector" in running.output or process.poll() is not None, "dev is up")
        assert process.poll() is None, running.output
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for leftovers in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_everything_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "app.py").write_text(APP.format(answer="one"))
    with dev(tmp_path) as running:
        assert running.answer() == "one"
        server = _address(running.output)
        assert len(_group_members(str(tmp_path))) == 3
        socket.create_connection(server, timeout=5).close()
        running.process.send_signal(number)
        assert running.process.wait(30) == 0
    assert _group_members(str(tmp_path)) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server, timeout=5)
    assert "Traceback" not in running.output


KEEPS_LARGE = """
import stepwire as cl

@cl.on_message
async def main(message):
    try:
        await cl.Message("x", elements=[cl.File(name="x", content=b"x" * 5_000_000)]).send()
    except cl.ElementTooLarge as error:
        await cl.Message(str(error)).send()
"""


@pytest.mark.parametrize("own_server", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.anyio
async def test_dev_shares_nothing_with_the_installation_that_the_settings_name(
    tmp_path: Path, settings: Settings, own_server: bool
) -> None:
    """A job of production, taken by a developer's worker, would be found without a session and
    deleted."""
    (tmp_path / "app.py").write_text(KEEPS_LARGE)
    (tmp_path / ".env").write_text(
        f"STEPWIRE_REDIS_URL={settings.redis_url}\nSTEPWIRE_QUEUE_URL={settings.redis_url}\n"
        f"STEPWIRE_QUEUE_NAME={settings.queue_name}\nSTEPWIRE_ELEMENTS_URL=s3://production/x\n"
        "STEPWIRE_MAX_JOBS=3\n"
    )
    request = RunRequest(session_id="customer", run_id=new_id(), handler="on_message")
    options = [] if own_server else ["--redis-url", settings.redis_url]
    async with open_queue(settings) as queue:
        await queue.enqueue(request)
        with dev(tmp_path, *options) as running:
            assert "STEPWIRE_ELEMENTS_URL" in running.answer()
            assert await read_workers(queue.store, settings.queue_name) == []
            look = re.search(r"stepwire runs (--queue-url .*)\n", running.output)
            assert look is not None
            listed = stepwire("workers", "--json", *look[1].split(), cwd=tmp_path)
            # Settings that name no place are read as ever.
            assert [worker["max_jobs"] for worker in json.loads(listed.stdout)] == [3]
            runs = stepwire("runs", *look[1].split(), cwd=tmp_path)
            assert (runs.returncode, runs.stderr) == (0, "")
        assert await queue.take(request.run_id, 5) == request
        await queue.finish(request.run_id)


def test_every_address_among_the_settings_is_one_that_dev_decides_upon() -> None:
    addresses = {name for name in Settings.model_fields if name.endswith("_url")}
    # Public keys are only read.
    assert addresses - {"auth_jwks_url"} | {"queue_name"} == PLACES


def test_dev_starts_beside_files_that_are_named_like_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text(APP.format(answer="one"))
    for name in ("click.py", "json.py", "stepwire.py"):
        (tmp_path / name).write_text("raise RuntimeError('not meant')\n")
    command = str(Path(sys.executable).with_name("stepwire"))
    with dev(tmp_path, app="redis.py", command=[command]) as running:
        assert running.answer() == "one"


def test_dev_restarts_the_worker_when_a_file_changes_and_survives_a_broken_one(
    tmp_path: Path,
) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(answer="one"))
    with dev(tmp_path) as running:
        assert running.answer() == "one"
        app.write_text("import stepwire as cl\n\nthis line is not Python\n")
        wait_until(lambda: "SyntaxError" in running.output, "the error is shown")
        assert 'app.py", line 3' in running.output
        wait_until(lambda: "starts again when a file changes" in running.output, "it waits")
        app.write_text(APP.format(answer="two"))
        wait_until(lambda: running.output.count("worker ready") == 2, "the worker is back")
        assert running.answer() == "two"


def test_dev_without_reload_ends_with_its_worker(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("1 / 0\n")
    result = stepwire("dev", "app.py", "--no-reload", "--port", str(free_port()), cwd=tmp_path)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_dev_refuses_to_listen_where_others_could_reach_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    result = stepwire("dev", "app.py", "--host", "0.0.0.0", cwd=tmp_path)  # noqa: S104
    assert result.returncode == 1
    assert "no authentication" in result.stderr


def test_the_commands_send_the_token_that_they_are_given(stack: Stack) -> None:
    stack.worker(APP.format(answer="the answer"))
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET)
    value = tokens.token("{sub}:*", rights=("read", "write"))
    address = ("--url", gateway.url)

    def stepwire(*arguments: str, **env: str) -> Result:
        return CliRunner().invoke(main, arguments, env=stack.env | env)

    sent = stepwire("send", "-", "hello", "--tail", "--token", value, *address)
    assert sent.exit_code == 0, sent.stderr
    session = sent.stdout.splitlines()[0]
    assert session.startswith("ada:")
    assert "the answer" in sent.stdout
    tailed = stepwire("tail", session, "--until-idle", *address, STEPWIRE_TOKEN=value)
    assert (tailed.exit_code, "the answer" in tailed.stdout) == (0, True)
    for command in (("send", session, "x"), ("tail", session)):
        refused = stepwire(*command, *address)
        assert refused.exit_code == 1
        assert "--token-file, or in STEPWIRE_TOKEN" in refused.stderr
        forbidden = stepwire(*command, *address, "--token", tokens.token("bob:1"))
        assert forbidden.exit_code == 1
        assert "this token" in forbidden.stderr


def test_dev_names_a_port_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(answer="one"))
    with dev(tmp_path) as running:
        result = stepwire("dev", "app.py", "--port", running.url.rpartition(":")[2], cwd=tmp_path)
    assert result.returncode == 1
    assert "is taken" in result.stderr
    assert "--port" in result.stderr


def test_a_gateway_names_a_port_that_is_taken(stack: Stack) -> None:
    port = stack.gateway().url.rpartition(":")[2]
    result = stepwire("gateway", "--port", port)
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Error: port {port} is taken on 127.0.0.1: ")


@pytest.mark.parametrize("name", ["nope.py", ".", "./app"])
def test_dev_names_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    result = stepwire("dev", name, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: {name} is not a file")


@pytest.mark.parametrize(
    ("options", "env", "said"),
    [
        (["--port", "99999"], {}, "STEPWIRE_PORT=99999"),
        ([], {"STEPWIRE_MAX_JOBS": "many"}, "STEPWIRE_MAX_JOBS='many'"),
        (["--redis-url", "localhost"], {}, "STEPWIRE_REDIS_URL='localhost'"),
        ([], {"STEPWIRE_HOST": "192.0.2.1"}, "not on 192.0.2.1"),
    ],
)
def test_dev_says_what_is_wrong_with_a_setting_in_one_line(
    tmp_path: Path, options: list[str], env: dict[str, str], said: str
) -> None:
    (tmp_path / "app.py").write_text(APP)
    result = stepwire("dev", "app.py", *options, cwd=tmp_path, **env)
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line


def test_dev_listens_where_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(answer="one"))
    port = free_port()
    (tmp_path / ".env").write_text(f"STEPWIRE_PORT={port}\n")
    with dev(tmp_path, port=None) as running:
        assert f"inspector  http://127.0.0.1:{port}\n" in running.output


def test_send_and_tail_show_the_answer(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(answer="the answer"))
    with dev(tmp_path) as running:
        sent = stepwire("send", "-", "hello", "--tail", "--url", running.url)
        assert sent.returncode == 0, sent.stderr
        session = sent.stdout.splitlines()[0]
        assert re.fullmatch("[0-9a-f]{32}", session)
        assert "the answer" in sent.stdout
        tailed = stepwire("tail", session, "--until-idle", "--url", running.url)
        assert tailed.returncode == 0, tailed.stderr
        assert "hello" in tailed.stdout
        assert "the answer" in tailed.stdout
        unknown = stepwire("tail", "never-created", "--url", running.url)
        assert unknown.returncode == 1
        assert "session 'never-created' does not exist" in unknown.stderr


@pytest.mark.parametrize("command", [["tail", "s"], ["send", "s", "text"]])
def test_without_a_gateway_the_command_says_what_to_start(command: list[str]) -> None:
    result = stepwire(*command, "--url", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert "no gateway answers at http://127.0.0.1:1" in result.stderr
    assert "stepwire dev" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STEPWIRE_PORT=http\n")
    result = stepwire("gateway", cwd=tmp_path)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "STEPWIRE_PORT='http'" in line


def test_a_setting_that_is_nearly_one_is_said_not_to_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STEPWIRE_MAX_JOB=3\nSTEPWIRE_OF_MY_OWN=1\n")
    (tmp_path / "app.py").write_text(APP)
    nobody = "redis://127.0.0.1:1/0"
    for command in (["worker", "app.py"], ["gateway", "--port", "0"]):
        result = stepwire(*command, "--redis-url", nobody, cwd=tmp_path, STEPWIRE_API_KEY="x")
        said = [line for line in result.stderr.splitlines() if "not a known" in line]
        assert [line.partition(": ")[2] for line in said] == [
            f"{given} is not a known setting and is ignored; did you mean {given}S?"
            for given in ("STEPWIRE_API_KEY", "STEPWIRE_MAX_JOB")
        ]


def test_help_names_every_command_and_shows_defaults() -> None:
    listed = stepwire("--help").stdout
    for command in ("dev", "worker", "gateway", "tail", "send"):
        assert re.search(rf"^  {command} ", listed, re.MULTILINE)
        text = " ".join(CliRunner().invoke(main, [command, "--help"]).stdout.split())
        assert "[default: " in text or "[env var:" in text, command


def test_the_demo_answers_with_what_it_found() -> None:
    result = subprocess.run(
        [sys.executable, "examples/demo.py", "Where does a stream with a trimmed cursor start?"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    for part in ("http://127.0.0.1:", "retrieve", "rank", "read", "extract", "answer", "[1]"):
        assert part in result.stdout
    assert "docs/protocol.md" in result.stdout

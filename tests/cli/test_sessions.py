"""The commands that talk to a gateway: where they find it, what they show it, and what they do."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import chdir, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import certifi
import jwt
import pytest
from click.testing import CliRunner, Result

from http_server import serving
from stack import Gateway, Stack, wait_until
from stepwire_cli.main import main
from tls import new_certificate
from tokens import API_KEY, SECRET, token

WAITS = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("at work"):
            if message.content == "fail":
                raise ValueError("on purpose")
            await asyncio.sleep(600)
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    gateway = shared_stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)
    shared_stack.worker(WAITS)
    gateway.client.headers["Authorization"] = f"Bearer {API_KEY}"
    return gateway


def stepwire(
    gateway: Gateway, *arguments: str, stdin: str = "", cwd: Path | None = None, **env: str
) -> Result:
    """The command, in this process: a test calls it up to a dozen times."""
    unset: dict[str, str | None] = {name: None for name in os.environ if "STEPWIRE" in name}
    given = {"STEPWIRE_URL": gateway.url, "STEPWIRE_TOKEN": API_KEY, "STEPWIRE_ENV_FILE": ""}
    settings = unset | (given if cwd is None else {}) | env
    with chdir(cwd or Path.cwd()):
        return CliRunner().invoke(main, arguments, input=stdin, env=settings)


def at_work(gateway: Gateway) -> tuple[str, str]:
    session = gateway.create_session()
    run = gateway.send(session, "work")["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 2, "it runs")
    return session, run


def test_cancel_stops_all_that_is_open_or_the_run_that_is_named(gateway: Gateway) -> None:
    for named in (False, True):
        session, run = at_work(gateway)
        done = stepwire(gateway, "cancel", session, *([run] if named else []))
        assert (done.exit_code, done.stdout) == (0, f"{run}\n")
        assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    done = stepwire(gateway, "cancel", session)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no run of this session is open" in done.stderr
    done = stepwire(gateway, "cancel", session, "unknown")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "does not have a run 'unknown'" in done.stderr


def test_delete_asks_first_and_leaves_nothing(gateway: Gateway) -> None:
    session = gateway.create_session()
    assert stepwire(gateway, "delete", session, stdin="n\n").exit_code == 1
    assert gateway.client.get(f"/v1/sessions/{session}").is_success
    assert stepwire(gateway, "delete", session, "--yes").exit_code == 0
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    done = stepwire(gateway, "delete", session, "--yes")
    assert (done.exit_code, "does not exist" in done.stderr) == (1, True)


def test_token_makes_one_that_opens_what_is_named_and_nothing_else(gateway: Gateway) -> None:
    session, other = gateway.create_session(), gateway.create_session()
    options = ("--right", "read", "--ttl", "60", "--priority", "3")
    made = stepwire(gateway, "token", "ada", session, *options)
    assert (made.exit_code, made.stderr) == (0, "")
    value = made.stdout.strip()
    content = jwt.decode(value, SECRET, algorithms=["HS256"])
    assert (content["sub"], content["sessions"]) == ("ada", [session])
    assert (content["rights"], content["priority"]) == (["read"], 3)
    usual = stepwire(gateway, "token", "ada", "{sub}:*", "x").stdout.strip()
    content = jwt.decode(usual, SECRET, algorithms=["HS256"])
    assert content["sessions"] == ["{sub}:*", "x"]
    assert content["rights"] == ["read", "write", "cancel"]
    # It reads the session, and finds nothing to cancel.
    assert stepwire(gateway, "cancel", session, STEPWIRE_TOKEN=value).exit_code == 0
    for refused in (("tail", other), ("send", session, "hello"), ("delete", session, "--yes")):
        done = stepwire(gateway, *refused, STEPWIRE_TOKEN=value)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
    done = stepwire(gateway, "token", "ada", "*", STEPWIRE_TOKEN=value)
    assert (done.exit_code, "STEPWIRE_API_KEYS" in done.stderr) == (1, True)


def test_a_token_comes_from_a_file_or_from_the_input(gateway: Gateway, tmp_path: Path) -> None:
    session = gateway.create_session()
    file = tmp_path / "token"
    file.write_text(f"{API_KEY}\n")
    wrong = token("another")
    send = ("send", session, "hello")
    assert stepwire(gateway, *send, STEPWIRE_TOKEN=wrong).exit_code == 1
    for source, stdin in ((str(file), ""), ("-", API_KEY)):
        done = stepwire(gateway, *send, "--token-file", source, stdin=stdin, STEPWIRE_TOKEN=wrong)
        assert done.exit_code == 0, done.stderr
    both = stepwire(gateway, *send, "--token-file", str(file), "--token", API_KEY)
    assert (both.exit_code, "not both" in both.stderr) == (2, True)
    for text, said in ((None, "No such file"), ("", "a token alone"), ("a b", "a token alone")):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        done = stepwire(gateway, *send, "--token-file", str(file))
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
        assert said in done.stderr
        assert API_KEY not in done.stderr


def test_the_address_and_the_token_come_from_dot_env_like_every_setting(
    gateway: Gateway, tmp_path: Path
) -> None:
    session = gateway.create_session()
    file = tmp_path / ".env"
    file.write_text(f"STEPWIRE_URL={gateway.url}/\nSTEPWIRE_TOKEN={API_KEY}\n")
    sent = stepwire(gateway, "send", session, "hello", cwd=tmp_path)
    assert (sent.exit_code, sent.stdout) == (0, f"{session}\n"), sent.stderr
    secret = tmp_path / "secret"
    secret.write_text(API_KEY)
    file.write_text(f"STEPWIRE_URL={gateway.url}\nSTEPWIRE_TOKEN_FILE={secret}\n")
    assert stepwire(gateway, "send", session, "hello", cwd=tmp_path).exit_code == 0
    elsewhere = "http://127.0.0.1:1"
    done = stepwire(gateway, "send", session, "hello", cwd=tmp_path, STEPWIRE_URL=elsewhere)
    assert (done.exit_code, f"no gateway answers at {elsewhere}" in done.stderr) == (1, True)
    file.write_text("STEPWIRE_URL=localhost:8000\nSTEPWIRE_TOKEN=\n")
    done = stepwire(gateway, "send", session, "hello", cwd=tmp_path)
    assert done.exit_code == 1
    assert "STEPWIRE_URL='localhost:8000': must be the address of a gateway" in done.stderr
    assert "STEPWIRE_TOKEN: " in done.stderr


class Hostile(BaseHTTPRequestHandler):
    """A server that is not ours, and whose words a terminal would obey."""

    def do_GET(self) -> None:
        problem = {"status": 404, "code": "session_not_found", "detail": "no \x1b[2Jsession"}
        self.send_response(404)
        self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        self.wfile.write(json.dumps(problem).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_address_with_the_wrong_scheme_or_certificate_is_one_line_that_says_so(
    gateway: Gateway, tmp_path: Path
) -> None:
    certificate = new_certificate(tmp_path / "tls")
    server = HTTPServer(("127.0.0.1", 0), Hostile)
    server.socket = certificate.server_context().wrap_socket(server.socket, server_side=True)
    strangers, ours = certifi.where(), str(certificate.chain)
    with serving(server) as origin:
        secure = origin.replace("http", "https")
        for url, said, trusted in (
            (gateway.url.replace("http", "https"), "address with http://", strangers),
            (secure, "name its authority's file in SSL_CERT_FILE", strangers),
            (secure, "Error: no session\n", ours),
        ):
            done = stepwire(gateway, "cancel", "s", STEPWIRE_URL=url, SSL_CERT_FILE=trusted)
            assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
            assert said in done.stderr


@pytest.mark.parametrize("on_terminal", [False, True])
def test_tail_ends_well_after_ctrl_c_whatever_it_has_shown(
    gateway: Gateway, on_terminal: bool
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "fail")["run_id"])
    shown, output = pty.openpty() if on_terminal else os.pipe()
    env = os.environ | {
        "STEPWIRE_URL": gateway.url,
        "STEPWIRE_TOKEN": API_KEY,
        "STEPWIRE_ENV_FILE": "",
        "TERM": "xterm",
    }
    command = [sys.executable, "-m", "stepwire_cli", "tail", session]
    with subprocess.Popen(
        command, env=env, stdin=output, stdout=output, stderr=subprocess.PIPE
    ) as tail:
        os.close(output)
        text = b""
        with suppress(OSError):
            while b"on purpose" not in text:
                text += os.read(shown, 4096)
        tail.send_signal(signal.SIGINT)
        with suppress(OSError):
            while os.read(shown, 4096):
                pass
        assert tail.wait(30) == 0
        assert tail.stderr is not None
        assert tail.stderr.read() == b""
    os.close(shown)


def test_completion_is_there_for_every_command_and_option() -> None:
    """As docs/operations.md has it, by click; the shell calls this."""
    env = os.environ | {
        "_STEPWIRE_COMPLETE": "bash_complete",
        "COMP_WORDS": "stepwire can",
        "COMP_CWORD": "1",
    }
    program = Path(sys.executable).with_name("stepwire")
    done = subprocess.run(
        [program], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "plain,cancel\n"

"""The code of the how-tos does what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from docs.snippets import ROOT, executed, files
from stack import Stack

EMIT = "docs/how-to/emit-from-anywhere.md"


def test_the_snippets_that_emit_from_anywhere_make_one_tree(stack: Stack) -> None:
    gateway = stack.shared_gateway()
    snippets = executed(EMIT)
    assert len(snippets) == 3
    for number, snippet in enumerate(snippets):
        path = stack.folder / f"snippet_{number}.py"
        path.write_text(snippet)
        subprocess.run([sys.executable, str(path)], env=stack.env, check=True, timeout=30)
    steps = gateway.snapshot("order-42")["steps"]
    names = {step["id"]: step["name"] for step in steps}
    assert sorted((step["name"], names.get(step["parent_id"])) for step in steps) == [
        ("import", None),
        ("label", "ship"),
        ("parallel", None),
        ("part 0", "parallel"),
        ("part 1", "parallel"),
        ("part 2", "parallel"),
        ("ship", None),
    ]
    assert {step["status"] for step in steps} == {"ok"}


def test_the_tests_of_the_how_to_pass_in_a_folder_of_their_own(tmp_path: Path) -> None:
    written = files("docs/how-to/test-handlers.md")
    assert sorted(written) == ["app.py", "conftest.py", "test_app.py"]
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        env=os.environ | {"STEPWIRE_ENV_FILE": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_request_for_a_token_in_the_how_to_is_answered(stack: Stack) -> None:
    text = (ROOT / "docs/how-to/front-ends.md").read_text()
    body = text.split("-d '")[1].split("'")[0]
    key, secret = "k" * 32, "s" * 32
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=secret, STEPWIRE_API_KEYS=key)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    token = httpx.post(f"{gateway.url}/v1/tokens", content=body, headers=headers).json()["token"]
    as_ada = {"Authorization": f"Bearer {token}"}
    made = httpx.post(f"{gateway.url}/v1/sessions", json={"id": "ada:1"}, headers=as_ada)
    assert made.is_success, made.text

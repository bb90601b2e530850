"""What the documents say is true."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stepwire
import tables
from stack import Stack
from stepwire_core.settings import Settings
from stepwire_core.wire.kinds import EVENT_TYPES, KINDS, Kind
from stepwire_core.wire.rights import RIGHTS
from stepwire_gateway import create_app
from stepwire_gateway.http import problems

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
GET_STARTED = (ROOT / "docs/get-started.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "tests/README.md",
    ROOT / "examples/cookbook/README.md",
]


def test_the_handler_in_the_readme_answers(stack: Stack) -> None:
    [handler] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    stack.worker(handler)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "Hello")["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    steps = {step["name"]: step for step in gateway.snapshot(session)["steps"]}
    assert steps["Assistant"]["output"] == "You said: Hello "
    assert steps["search"]["parent_id"] == steps["agent"]["id"]
    assert steps["agent"]["output"] == "answered"


def test_the_curl_lines_in_the_tutorial_work(stack: Stack) -> None:
    gateway = stack.shared_gateway()
    lines = re.findall(r"^\$ (curl -X POST .*)$", GET_STARTED, re.MULTILINE)
    assert len(lines) == 2
    answers = []
    for line in lines:
        command = line.replace("localhost:8000", f"127.0.0.1:{gateway.port}")
        result = subprocess.run(  # noqa: S602 - the line as a reader would paste it
            command, shell=True, capture_output=True, text=True, check=True, timeout=30
        )
        answers.append(result.stdout)
    assert answers[0] == '{"session_id":"demo"}'
    assert '"message_id"' in answers[1]


def test_the_commands_in_the_documents_exist() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "stepwire_cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        text = document.read_text()
        for command in re.findall(r"^\$ (?:\S+/)?stepwire ([a-z]+)\b", text, re.MULTILINE):
            assert f"  {command} " in listed, document
        for target in re.findall(r"(?:`|^\$ )make ([a-z-]+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (document, target)


@pytest.mark.parametrize(("document", "name"), tables.tables(), ids=str)
def test_a_table_that_is_made_from_the_code_is_up_to_date(document: str, name: str) -> None:
    text = (ROOT / "docs" / document).read_text()
    table = tables.tables()[document, name]
    assert tables.with_table(text, name, table) == text, "make tables"


def test_the_claim_of_a_token_lists_every_right() -> None:
    listed = ", ".join(f"`{right}`" for right in RIGHTS)
    assert f"| `rights` | required | a list out of {listed};" in PROTOCOL


def test_every_event_type_is_in_the_protocol_and_no_other() -> None:
    table = PROTOCOL.split("| event | data |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == EVENT_TYPES


def test_every_error_code_is_in_the_protocol_with_its_status() -> None:
    codes = {code: status for status, code in problems._OF_ERROR.values()}
    codes |= {code: status for status, code in problems._OF_STATUS.items()}
    for code, status in codes.items():
        assert f'| <a id="{code}"></a>`{code}` | {status} |' in PROTOCOL


def test_every_route_is_in_the_protocol() -> None:
    for path in create_app(Settings()).openapi()["paths"]:
        short = path.replace("{session_id}", "{sid}").replace("{run_id}", "{rid}")
        assert short in PROTOCOL, short


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_document_is_in_an_example_of_the_protocol(kind: Kind) -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PROTOCOL, re.DOTALL)]
    fields = set(kind.model.model_fields)
    assert any(set(example) == fields for example in examples), fields


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target
    for path in re.findall(
        r"`((?:tests|worker|gateway|shared|cli|examples|benchmarks)/[\w/.]+)`", text
    ):
        assert (ROOT / path).exists(), path


def test_every_test_that_the_step_document_names_is_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests/worker").glob("test_*.py"))
    text = (ROOT / "docs/step.md").read_text()
    names = re.findall(r"`(test_\w+)`", text)
    assert len(names) > 15
    for name in names:
        assert f"def {name}(" in sources, name
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert (ROOT / "tests/worker" / name).exists(), name


def test_the_site_is_built_and_has_every_name_of_the_api(tmp_path: Path) -> None:
    """Strictly, so a link that leads nowhere fails it."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "reference/api/index.html").read_text()
    for name in stepwire.__all__:
        # A module has no heading of its own, and its names have theirs.
        start = f'id="stepwire.{name}' + ("." if inspect.ismodule(getattr(stepwire, name)) else '"')
        assert start in page, name
        assert getattr(stepwire, name).__doc__, name
    for name in ("stepwire.testing.App.message", "stepwire_gateway.create_app"):
        assert f'id="{name}"' in page, name
    assert ":class:" not in page
    # A link from a document to code works in the site as it does in the repository.
    architecture = (tmp_path / "architecture/index.html").read_text()
    assert "../source/shared/" in architecture

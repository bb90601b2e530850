"""docs/step.md has every public name with its parameters and errors, and its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, is_typeddict

import pytest

import stepwire
from docs.snippets import ROOT

if TYPE_CHECKING:
    from stepwire.testing import App

DOCUMENT = (ROOT / "docs/step.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
ERRORS = DOCUMENT.split("## Errors")[1].split("\n## ")[0]

OPTIONS = {"options"}
"""Parameters that stand for those of another name, which the section points to."""


def is_error(name: str) -> bool:
    found = getattr(stepwire, name)
    return isinstance(found, type) and issubclass(found, stepwire.StepwireError)


NAMES = [name for name in stepwire.__all__ if not is_error(name) or name == "Retry"]
"""An error that users raise has a section, too."""


def section(name: str) -> str:
    """What the document says under the heading of a name, without the example."""
    found: list[str] = re.findall(
        rf"^#+ `{name}`\n(.*?)(?=^#+ [`A-Z]|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1, f"docs/step.md needs one section with the heading `{name}`"
    return re.sub(r"^```.*?^```", "", found[0], flags=re.MULTILINE | re.DOTALL)


def parameters(name: str) -> list[str]:
    public: Any = getattr(stepwire, name)
    if not callable(public):
        return []
    if is_typeddict(public):
        return list(public.__annotations__)
    return [each for each in inspect.signature(public).parameters if each not in OPTIONS]


def raised(name: str) -> list[str]:
    """The errors under ``Raises:`` in the docstring."""
    docstring = inspect.getdoc(getattr(stepwire, name)) or ""
    _, _, listed = docstring.partition("Raises:\n")
    entries = re.findall(r"^    (\w+(?:, \w+)*): ", listed, re.MULTILINE)
    return [error for entry in entries for error in entry.split(", ")]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_section_with_its_parameters_and_errors(name: str) -> None:
    text = section(name)
    # A parameter stands by itself or in a call: `name`, or `attach(name)`.
    code = " ".join(re.findall(r"`([^`]+)`", text))
    assert [each for each in parameters(name) if not re.search(rf"\b{each}\b", code)] == []
    assert [error for error in raised(name) if error not in text] == []


def test_every_error_is_in_the_table_of_errors_and_no_other() -> None:
    cells = re.findall(r"^\| (.*?) \|", ERRORS, re.MULTILINE)
    named = re.findall(r"`([A-Z]\w+)`", " ".join(cells))
    assert sorted(named) == sorted(name for name in stepwire.__all__ if is_error(name))


def test_the_methods_of_a_step_are_in_its_section() -> None:
    methods = [name for name, _ in inspect.getmembers(stepwire.Step, inspect.isfunction)]
    public = [name for name in methods if not name.startswith("_")]
    assert [name for name in public if f"`{name}(" not in section("Step")] == []


@pytest.mark.anyio
@pytest.mark.parametrize("code", EXAMPLES)
async def test_an_example_answers_a_message(stepwire_app: App, tmp_path: Path, code: str) -> None:
    app, text = tmp_path / "example.py", tmp_path / "a.txt"
    app.write_text(code)
    text.write_text("some words")
    stepwire_app.load(str(app))
    if "cl.on_chat_start" in code:
        await stepwire_app.start()
    replies: dict[str, str | list[Path] | dict[str, str]] = {
        "AskUserMessage": "Ada",
        "AskActionMessage": "yes",
        "AskFileMessage": [text],
        "AskElementMessage": {"city": "Rome"},
    }
    for ask, reply in replies.items():
        if f"cl.{ask}(" in code:
            stepwire_app.reply(reply)
    run = await stepwire_app.message("some words")
    assert run.error is None
    assert run.status == "ok"

"""``stepwire send`` and ``stepwire answer`` against a real gateway and worker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stack import Gateway, Stack, wait_until
from stepwire_cli.main import main

APP = """
    import asyncio
    import stepwire as cl

    ACTIONS = [cl.Action("yes", label="Yes, go on", id="a-1"), cl.Action("no", id="a-2")]

    @cl.on_message
    async def main(message):
        for file in message.elements:
            await cl.Message(f"{file.name} {file.mime} {file.path.read_text()}").send()
        await asyncio.gather(*[getattr(Asks, word)() for word in message.content.split()])

    class Asks:
        async def text():
            answer = await cl.AskUserMessage("Your name?", timeout=300).send()
            await cl.Message(f"Hello {answer['output']}").send()

        async def action():
            answer = await cl.AskActionMessage("Go on?", actions=ACTIONS, timeout=300).send()
            await cl.Message(f"Chosen: {answer['name']}").send()

        async def file():
            files = await cl.AskFileMessage(
                "Your texts?", accept=["text/plain"], max_size_mb=0.001, max_files=2, timeout=300
            ).send()
            await cl.Message(f"Files: {[file.name for file in files]}").send()

        async def element():
            element = cl.CustomElement("Address")
            answer = await cl.AskElementMessage("Where?", element, timeout=300).send()
            await cl.Message(f"Submitted: {answer}").send()

        async def form():
            inputs = [
                cl.input_widget.Slider("heat", "How hot", initial=1, max=3),
                cl.input_widget.TextInput("name", "Your name"),
            ]
            await cl.ChatSettings(inputs).send()

        async def profile():
            await cl.Message(f"Profile: {cl.user_session.get('chat_profile')}").send()

    @cl.on_settings_update
    async def changed(settings):
        await cl.Message(f"Settings: {settings}").send()

    @cl.set_chat_profiles
    async def profiles():
        return [cl.ChatProfile("plain", "Usual"), cl.ChatProfile("deep", "Slow")]
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP, STEPWIRE_MAX_JOBS="50")
    return shared_stack.gateway()


def run(gateway: Gateway, *arguments: str | Path) -> Result:
    command, *rest = map(str, arguments)
    return CliRunner().invoke(main, [command, *rest, "--url", gateway.url])


def outputs(gateway: Gateway, session: str) -> list[str]:
    return [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == "Assistant"]


def ask(gateway: Gateway, kind: str) -> tuple[str, str]:
    session = gateway.create_session()
    run_id = gateway.send(session, kind)["run_id"]
    gateway.open_ask(session)
    return session, run_id


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("kind", "word", "reply"),
    [
        ("text", "Ada Lovelace", "Hello Ada Lovelace"),
        ("action", "yes", "Chosen: yes"),
        ("action", "YES, GO ON", "Chosen: yes"),
        ("action", "a-2", "Chosen: no"),
    ],
)
def test_a_question_is_answered_and_its_run_followed(
    gateway: Gateway, kind: str, word: str, reply: str
) -> None:
    session, _ = ask(gateway, kind)
    result = run(gateway, "answer", session, word, "--tail")
    assert result.exit_code == 0, result.output
    asked = gateway.snapshot(session)["asks"][0]["id"]
    assert result.output.splitlines()[0] == asked
    assert "  ✓ answered" in result.output
    assert reply in result.output


def test_files_answer_a_question_and_go_with_a_message(gateway: Gateway, tmp_path: Path) -> None:
    files = [written(tmp_path, name, name) for name in ("a.txt", "b c.txt")]
    options = [part for file in files for part in ("--file", file)]
    session, run_id = ask(gateway, "file")
    assert run(gateway, "answer", session, *options).exit_code == 0
    gateway.wait_for_end(session, run_id)
    assert outputs(gateway, session)[-1] == "Files: ['a.txt', 'b c.txt']"
    result = run(gateway, "send", "-", *options, "--tail")
    assert result.exit_code == 0, result.output
    assert "a.txt text/plain a.txt" in result.output
    assert re.search(
        r"▤ b c\.txt \(text, 7 B\) http://127\.0\.0\.1:\d+/v1/sessions/", result.output
    )


def test_of_several_questions_one_is_named(gateway: Gateway) -> None:
    session, run_id = ask(gateway, "text action")
    wait_until(lambda: len(gateway.snapshot(session)["asks"]) == 2, "both are asked")
    asks = gateway.snapshot(session)["asks"]
    result = run(gateway, "answer", session, "yes")
    assert result.exit_code == 1
    assert "2 questions are open: choose one with --ask: " in result.output
    for asked in asks:
        word = {"text": "Ada", "action": "no"}[asked["kind"]]
        assert run(gateway, "answer", session, word, "--ask", asked["id"][:8]).exit_code == 0
    gateway.wait_for_end(session, run_id)
    assert sorted(outputs(gateway, session)[-2:]) == ["Chosen: no", "Hello Ada"]


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("text", [], "takes a text, and no files"),
        ("text", ["x", "--file", "a.txt"], "takes a text, and no files"),
        ("action", ["maybe"], "'maybe' is not an answer to this question: choose yes, no"),
        ("action", [], "takes one of these words, and no files: yes, no"),
        ("file", ["x"], "takes files, given with --file, and no text"),
        ("file", ["--file", "big.txt"], "'big.txt' has 2000 bytes, at most 1048 are asked for"),
        ("file", ["--file", "x.py"], "is not of a type that the ask accepts: text/plain"),
        ("file", ["--file", "nope"], "'nope' does not exist"),
        ("text", ["x", "--ask", "nope"], "no question 'nope' in this session"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_in_a_line_and_nothing_is_uploaded(
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, size in (("a.txt", 1), ("big.txt", 2000), ("x.py", 1)):
        written(tmp_path, name, "x" * size)
    session, _ = ask(gateway, kind)
    result = run(gateway, "answer", session, *arguments)
    assert result.exit_code != 0
    last = result.output.splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last
    snapshot = gateway.snapshot(session)
    assert [e for e in snapshot["elements"] if e["type"] != "chat_profile"] == []
    assert snapshot["asks"][0]["status"] == "open"


def test_what_cannot_be_answered_or_sent_is_said_in_a_line(gateway: Gateway) -> None:
    session, _ = ask(gateway, "text")
    asked = gateway.open_ask(session)["id"]
    assert run(gateway, "answer", session, "Ada").exit_code == 0
    for arguments, words in (
        (("answer", session, "Bob"), "no question is open in this session"),
        (("answer", session, "Bob", "--ask", asked), asked),
        (("answer", "nope", "Bob"), "session 'nope' does not exist"),
        (("send", session), "give a TEXT, or files with --file, or both"),
    ):
        result = run(gateway, *arguments)
        assert result.exit_code != 0
        last = result.output.splitlines()[-1]
        assert last.startswith("Error: ")
        assert words in last


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (['{"city": "Rome"}'], "Submitted: {'city': 'Rome', 'submitted': True}"),
        (["--cancel"], "Submitted: {'submitted': False}"),
    ],
)
def test_an_element_is_submitted_or_cancelled(
    gateway: Gateway, words: list[str], reply: str
) -> None:
    session, run_id = ask(gateway, "element")
    for wrong in ([], ["Rome"], ['{"a": 1}', "--cancel"]):
        result = run(gateway, "answer", session, *wrong)
        assert "takes a JSON object" in result.output, wrong
    result = run(gateway, "answer", session, *words, "--tail")
    assert result.exit_code == 0, result.output
    assert "✓ answered: " in result.output
    gateway.wait_for_end(session, run_id)
    assert outputs(gateway, session)[-1] == reply


def test_settings_are_shown_and_changed(gateway: Gateway) -> None:
    session = gateway.create_session()
    assert "has no settings to change" in run(gateway, "settings", session).output
    gateway.wait_for_end(session, gateway.send(session, "form")["run_id"])
    shown = "heat=1  How hot (slider)\nname=null  Your name (textinput)\n"
    assert run(gateway, "settings", session).output == shown
    changed = run(gateway, "settings", session, "heat=2.5", "name=Ada", "--tail")
    assert changed.output.startswith(shown.replace("=1 ", "=2.5 ").replace("null", '"Ada"'))
    assert outputs(gateway, session) == ["Settings: {'heat': 2.5, 'name': 'Ada'}"]
    refused = run(gateway, "settings", session, "heat=9")
    assert refused.exit_code == 1
    assert "'heat' takes a number from 0 to 3, not 9" in refused.output
    assert "not of the form input=value" in run(gateway, "settings", session, "heat").output


def test_a_new_session_has_the_profile_that_is_named(gateway: Gateway) -> None:
    for options, profile in ((["--profile", "deep"], "deep"), ([], "plain")):
        result = run(gateway, "send", "-", "profile", *options, "--tail")
        assert result.exit_code == 0, result.output
        assert outputs(gateway, result.output.split()[0]) == [f"Profile: {profile}"]
    assert "'wild' is not offered" in run(gateway, "send", "-", "x", "--profile", "wild").output
    session = gateway.create_session()
    refused = run(gateway, "send", session, "x", "--profile", "deep")
    assert "a session keeps its chat profile" in refused.output

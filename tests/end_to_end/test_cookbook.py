"""Every program of examples/cookbook, started as its docstring says, and what people see of it."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations.model_server import ModelServer, model_server
from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.values.ids import new_id

COOKBOOK = Path(__file__).parents[2] / "examples" / "cookbook"
PROGRAMS = sorted(path.name for path in COOKBOOK.glob("*.py"))
LIMIT_S = 60


class Chat:
    """A session of a person with a program in a worker of its own."""

    def __init__(self, stack: Stack, program: str, **env: str) -> None:
        stack.worker(COOKBOOK / program, **env)
        self.gateway = stack.shared_gateway()
        self.session = self.gateway.create_session()

    def wait_for_start(self) -> None:
        """Return when ``on_chat_start`` has ended."""

        def over() -> bool:
            runs = self.gateway.snapshot(self.session)["runs"]
            return bool(runs) and runs[0]["status"] != "running"

        wait_until(over, "on_chat_start has ended")

    def say(self, content: str, **fields: object) -> str:
        """Write a message; the id of its run."""
        return self.gateway.send(self.session, content, **fields)["run_id"]

    def ended(self, run: str) -> str:
        """How a run has ended, once it has."""
        status: str = self.gateway.wait_for_end(self.session, run)["status"]
        return status

    def say_and_wait(self, content: str, **fields: object) -> None:
        assert self.ended(self.say(content, **fields)) == "ok"

    def answer(self, question: str, **answer: object) -> None:
        """Answer the question that is asked next."""
        ask = self.gateway.open_ask(self.session)
        assert self.step(ask["step_id"])["output"] == question
        for action in ask["actions"]:
            if action["name"] == answer.get("action"):
                answer = {"action": action["id"]}
        response = self.gateway.answer(self.session, ask["id"], **answer)
        assert response.is_success, response.text

    def click(self, label: str) -> None:
        """Click the last button of a label, and wait for the end of what it does."""
        actions = self.gateway.snapshot(self.session)["actions"]
        action = next(each for each in reversed(actions) if each["label"] == label)
        path = f"/v1/sessions/{self.session}/actions/{action['id']}"
        response = self.gateway.client.post(path, json={})
        assert response.status_code == 202, response.text
        assert self.ended(response.json()["run_id"]) == "ok"

    def upload(self, name: str, content: bytes, mime: str = "text/plain") -> str:
        return self.gateway.upload(self.session, name, content, mime)

    def step(self, id_: str) -> dict[str, Any]:
        steps = self.gateway.snapshot(self.session)["steps"]
        return next(step for step in steps if step["id"] == id_)

    def named(self, name: str) -> dict[str, Any]:
        """The first step of a name."""
        steps = self.gateway.snapshot(self.session)["steps"]
        return next(step for step in steps if step["name"] == name)

    def wait_for(self, line: str) -> None:
        wait_until(lambda: line in self.shown(), f"{line!r} is shown")

    def shown(self) -> list[str]:
        return shown(self.gateway.snapshot(self.session))

    def content(self, name: str) -> Any:
        """The content of the element of a name, from JSON."""
        return content(self.gateway.client, self.gateway.snapshot(self.session), name)


def shown(snapshot: dict[str, Any]) -> list[str]:
    """The steps as a person sees them: what is below another is indented; each has a line with its
    name, its type unless it is a message, its status unless it is ``ok``, and its output."""
    lines: list[str] = []

    def show(parent: str | None, depth: int) -> None:
        for step in snapshot["steps"]:
            if (step["parent_id"] if step["parent_id"] in ids else None) == parent:
                kind = "" if step["type"].endswith("_message") else f" ({step['type']})"
                status = "" if step["status"] == "ok" else f" {step['status']}"
                output = " ".join(step["output"].split())
                lines.append(f"{'  ' * depth}{step['name']}{kind}{status}: {output}".rstrip(": "))
                show(step["id"], depth + 1)

    ids = {step["id"] for step in snapshot["steps"]}
    show(None, 0)
    return lines


def content(client: httpx.Client, snapshot: dict[str, Any], name: str) -> Any:
    element = next(item for item in snapshot["elements"] if item["name"] == name)
    response = client.get(element["url"])
    assert response.is_success, response.text
    return response.json()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


def with_model(model: ModelServer, name: str) -> dict[str, str]:
    """An environment in which a program's model is the one on loopback."""
    return {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "any", "OPENAI_MODEL": name}


def run_script(stack: Stack, *arguments: str, expected: int = 0) -> str:
    """Run a command of Python's to its end, in the folder of the programs; what it has written."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=COOKBOOK,
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def running(stack: Stack, *arguments: str, **env: str) -> Iterator[None]:
    """A server of another library, as long as the block lasts."""
    with (stack.folder / "other.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=COOKBOOK, env=stack.env | env, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def test_every_program_has_a_test_and_a_row_in_the_table() -> None:
    tests = [
        inspect.getsource(test) for name, test in globals().items() if name.startswith("test_")
    ]
    assert [name for name in PROGRAMS if not any(f'"{name}"' in test for test in tests)] == []
    rows = re.findall(
        r"^\| \[(\w+\.py)\]\(\1\) \|", (COOKBOOK / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == PROGRAMS


# -- answers --------------------------------------------------------------------------------------


def test_an_answer_streams_beside_the_step_of_its_call(stack: Stack, model: ModelServer) -> None:
    model.go_on.clear()
    chat = Chat(stack, "streaming.py", **with_model(model, "held"))
    run = chat.say("hello")
    chat.wait_for("  Assistant running: You")
    model.go_on.set()
    assert chat.ended(run) == "ok"
    assert chat.shown() == [
        "User: hello",
        "  held (llm): You said: hello",
        "  Assistant: You said: hello",
    ]
    assert chat.named("held")["metadata"]["usage"]["total_tokens"] == 7


def test_the_model_knows_what_was_said_before(stack: Stack, model: ModelServer) -> None:
    chat = Chat(stack, "chat_history.py", **with_model(model, "roles"))
    chat.say_and_wait("one")
    chat.say_and_wait("two")
    assert chat.ended(chat.gateway.start(chat.session, "forget")) == "ok"
    chat.say_and_wait("three")
    assert chat.shown() == [
        "User: one",
        "  Assistant: system, user",
        "User: two",
        "  Assistant: system, user, assistant, user",
        "Assistant: Let us talk about something else.",
        "User: three",
        "  Assistant: system, assistant, user",
    ]


def test_a_text_is_asked_for_and_then_asked_about(stack: Stack, model: ModelServer) -> None:
    chat = Chat(stack, "file_question.py", **with_model(model, "echo"))
    file = chat.upload("tea.txt", b"Steep it for four minutes.")
    chat.answer("Which text shall we talk about?", files=[file])
    chat.wait_for_start()
    chat.say_and_wait("How long?")
    assert chat.shown() == [
        "Assistant: Which text shall we talk about?",
        "Assistant: I have read tea.txt. What would you like to know?",
        "User: How long?",
        "  read (llm): Steep it for four minutes. How long?",
        "  Assistant: Steep it for four minutes. How long?",
    ]


def test_a_table_is_shown_with_a_chart_of_its_sums(stack: Stack) -> None:
    chat = Chat(stack, "data_frame.py")
    table = chat.upload("sales.csv", b"month,tea\nMay,3\nJune,4.5\n", "text/csv")
    chat.say_and_wait("look", elements=[table])
    chat.say_and_wait("and now?")
    assert chat.shown() == [
        "User: look",
        '  read (tool): [ { "month": "May", "tea": "3" }, { "month": "June", "tea": "4.5" } ]',
        '  sums (tool): { "tea": 7.5 }',
        "  Assistant: sales.csv has 2 rows.",
        "User: and now?",
        "  Assistant: Attach a CSV file to your message, please.",
    ]
    [bars] = chat.content("sums")["data"]
    assert (bars["x"], bars["y"]) == (["tea"], [7.5])
    elements = chat.gateway.snapshot(chat.session)["elements"]
    frame = next(item for item in elements if item["type"] == "dataframe")
    rows = chat.gateway.client.get(frame["url"]).json()
    assert rows["columns"] == ["month", "tea"]
    assert rows["data"] == [["May", "3"], ["June", "4.5"]]


# -- questions ------------------------------------------------------------------------------------


def test_nothing_is_deleted_without_approval(stack: Stack) -> None:
    chat = Chat(stack, "approval.py")
    for action in ("approve", "refuse"):
        run = chat.say("delete the draft")
        chat.answer("Shall I delete the draft?", action=action)
        assert chat.ended(run) == "ok"
    assert chat.shown() == [
        "User: delete the draft",
        "  Assistant: Shall I delete the draft?",
        "  delete (tool): the draft is deleted",
        "  Assistant: the draft is deleted",
        "User: delete the draft",
        "  Assistant: Shall I delete the draft?",
        "  Assistant: I left the draft as it is.",
    ]


def test_each_answer_leads_to_the_next_question(stack: Stack) -> None:
    chat = Chat(stack, "asks_in_sequence.py")
    chat.answer("On what name shall I book?", content=" Ada ")
    chat.answer("How many are you?", content="twelve")
    chat.answer("Please give me a number from 1 to 8.", content="2")
    chat.answer("Where would you like to sit?", action="garden")
    chat.wait_for_start()
    assert chat.shown() == [
        "Assistant: On what name shall I book?",
        "  User: Ada",
        "Assistant: How many are you?",
        "  User: twelve",
        "Assistant: Please give me a number from 1 to 8.",
        "  User: 2",
        "Assistant: Where would you like to sit?",
        "book (tool): booked",
        "Assistant: A table in the garden for 2, on the name of Ada.",
    ]
    assert json.loads(chat.named("book")["input"]) == {
        "name": "Ada",
        "guests": 2,
        "table": "in the garden",
    }


def test_each_click_on_a_button_is_a_run(stack: Stack) -> None:
    chat = Chat(stack, "message_actions.py")
    chat.say_and_wait("Tea")
    for label in ("Another one", "Keep it", "Another one", "Keep it"):
        chat.click(label)
    assert chat.shown() == [
        "User: Tea",
        "  Assistant: How about River Tea?",
        "    Assistant: How about Lantern Tea?",
        "      Assistant: Kept so far: Lantern Tea",
        "      Assistant: How about Maple Tea?",
        "        Assistant: Kept so far: Lantern Tea, Maple Tea",
    ]
    left = [action["payload"]["name"] for action in chat.gateway.snapshot(chat.session)["actions"]]
    assert left == ["River Tea", "Maple Tea"]


def test_a_setting_holds_from_the_next_message_on(stack: Stack) -> None:
    chat = Chat(stack, "chat_settings.py")
    chat.wait_for_start()
    chat.say_and_wait("A question that is too long for it")
    path = f"/v1/sessions/{chat.session}/settings"
    refused = chat.gateway.client.put(path, json={"values": {"style": "mute", "length": 1}})
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) == 2
    values = {"style": "loud", "steps": False}
    changed = chat.gateway.client.put(path, json={"values": values})
    assert chat.ended(changed.json()["run_id"]) == "ok"
    chat.say_and_wait("and now?")
    assert chat.shown() == [
        "Assistant: Ask me anything. How I answer is for you to say, in the settings.",
        "User: A question that is too long for it",
        "  answer (tool): A question that is t",
        "  Assistant: A question that is t",
        "Assistant: In capitals, from now on.",
        "User: and now?",
        "  Assistant: AND NOW?",
    ]
    assert chat.named("answer")["tags"] == ["brief"]


def test_a_profile_and_a_question_to_begin_with_are_chosen_before_there_is_a_session(
    stack: Stack,
) -> None:
    chat = Chat(stack, "starters.py")
    client = chat.gateway.client
    page = client.get("/v1/start").json()
    assert [profile["name"] for profile in page["chat_profiles"]] == ["home", "chef"]
    assert [starter["label"] for starter in page["starters"]] == ["Plan a week", "Use leftovers"]
    page = client.get("/v1/start", params={"chat_profile": "chef"}).json()
    [starter] = page["starters"]
    created = client.post("/v1/sessions", json={"chat_profile": page["chat_profile"]})
    chat.session = created.json()["session_id"]
    # A person who is quicker than the greeting stands before it.
    wait_until(lambda: bool(chat.shown()), "the greeting")
    chat.say_and_wait(starter["message"])
    assert chat.shown() == [
        "Assistant: Ask me about what a restaurant would serve.",
        "User: What do I cook for six guests?",
        "  think (llm): 7 words, and all of them about food",
        "  chef: 7 words, and all of them about food",
    ]


# -- agents ---------------------------------------------------------------------------------------


def test_the_tools_that_a_model_calls_are_steps(stack: Stack, model: ModelServer) -> None:
    chat = Chat(stack, "tool_calls.py", **with_model(model, "caller"))
    chat.say_and_wait("weather?")
    lines = chat.shown()
    assert [line for line in lines if "(llm)" not in line] == [
        "User: weather?",
        "  agent (run)",
        "    weather (tool): Sunny in Paris, 21 °C",
        "  Assistant: The tool said: Sunny in Paris, 21 °C",
    ]
    assert len([line for line in lines if line.startswith("    caller (llm): ")]) == 2
    assert chat.named("weather")["input"] == '{"city":"Paris"}'


def test_a_graph_of_langgraph_is_shown_node_by_node(stack: Stack, model: ModelServer) -> None:
    chat = Chat(stack, "langgraph_agent.py", **with_model(model, "caller"))
    chat.say_and_wait("weather?")
    tree = [line.partition(":")[0] for line in chat.shown()]
    assert [line for line in tree if "tools_condition" not in line] == [
        "User",
        "  agent (run)",
        "    think (run)",
        "      caller (llm)",
        "    tools (run)",
        "      weather (tool)",
        "    think (run)",
        "      caller (llm)",
        "  Assistant",
    ]
    assert chat.shown()[-1] == "  Assistant: The tool said: Sunny in Paris, 21 °C"


def test_an_agent_of_pydantic_ai_streams_and_remembers(stack: Stack, model: ModelServer) -> None:
    chat = Chat(stack, "pydantic_ai_agent.py", **with_model(model, "caller"))
    chat.say_and_wait("weather?")
    chat.say_and_wait("and now?")
    steps = chat.gateway.snapshot(chat.session)["steps"]
    tools = [step["output"] for step in steps if step["type"] == "tool"]
    assert tools == ["Sunny in Paris, 21 °C"] * 2
    answers = [step["output"] for step in steps if step["type"] == "assistant_message"]
    assert answers == ["The tool said: Sunny in Paris, 21 °C"] * 2
    prompts = [step["input"] for step in steps if step["type"] == "llm"]
    # A question, then the tool's result; the second time after all of the first.
    assert ["and now?" in prompt for prompt in prompts] == [False, False, True, True]
    assert all("weather?" in prompt for prompt in prompts)


def test_an_agent_of_the_agents_sdk_is_shown_with_its_tools(
    stack: Stack, model: ModelServer
) -> None:
    chat = Chat(stack, "agents_sdk.py", **with_model(model, "caller"))
    chat.say_and_wait("weather?")
    lines = chat.shown()
    assert [line.partition(":")[0] for line in lines] == [
        "User",
        "  Agent workflow (run)",
        "    guide (agent)",
        "      caller (llm)",
        "      weather (tool)",
        "        station (tool)",
        "      caller (llm)",
        "  guide",
    ]
    assert lines[-1] == "  guide: The tool said: Sunny in Paris, 21 °C"


# -- work -----------------------------------------------------------------------------------------


def test_a_text_is_counted_in_parts(stack: Stack) -> None:
    chat = Chat(stack, "map_reduce.py")
    chat.say_and_wait("tea, Tea! cups " * 500)
    message, count, *parts, answer = chat.shown()
    assert message.startswith("User: tea, Tea! cups")
    assert count == "  count (run): 2 different words in 2 parts"
    assert sorted(parts) == ["    part 1 (tool): 1000 words", "    part 2 (tool): 500 words"]
    assert answer == "  Assistant: tea: 1000 cups: 500"
    handlers = [run["handler"] for run in chat.gateway.snapshot(chat.session)["runs"]]
    assert sorted(handlers) == ["count", "count", "on_message"]


def test_a_list_of_tasks_says_what_is_done_and_what_failed(stack: Stack) -> None:
    chat = Chat(stack, "task_list.py")
    chat.say_and_wait("ada\n?\nbob")
    assert chat.shown() == [
        "User: ada ? bob",
        "  ada (tool): ADA",
        "  ? (tool) error",
        "  bob (tool): BOB",
        "  Assistant: 2 of 3 done",
    ]
    [element] = chat.gateway.snapshot(chat.session)["elements"]
    assert element["props"]["status"] == "2 of 3 done"
    tasks = element["props"]["tasks"]
    assert [(task["title"], task["status"]) for task in tasks] == [
        ("ada", "done"),
        ("?", "failed"),
        ("bob", "done"),
    ]
    assert [chat.step(task["for_id"])["name"] for task in tasks] == ["ada", "?", "bob"]


def test_all_runs_of_a_worker_share_its_pool(stack: Stack) -> None:
    chat = Chat(stack, "startup_pool.py")
    question = f"How about {chat.session}?"
    chat.say_and_wait(question)
    chat.say_and_wait(question)
    assert chat.shown() == [
        f"User: {question}",
        "  count (tool): 1",
        "  Assistant: That was asked 1 times today.",
        f"User: {question}",
        "  count (tool): 2",
        "  Assistant: That was asked 2 times today.",
    ]
    stack.redis.delete(f"cookbook:asked:{question}")


def test_a_rating_is_kept_and_a_bad_one_is_answered(stack: Stack, tmp_path: Path) -> None:
    chat = Chat(stack, "feedback.py", RATINGS=str(tmp_path / "ratings.jsonl"))
    chat.say_and_wait("abc")
    _, answer, question = chat.gateway.snapshot(chat.session)["steps"]
    path = f"/v1/sessions/{chat.session}/steps"
    body = {"value": 0, "comment": "No."}
    assert chat.gateway.client.put(f"{path}/{answer['id']}/feedback", json=body).is_success
    refused = chat.gateway.client.put(f"{path}/{question['id']}/feedback", json=body)
    assert refused.json()["code"] == "feedback_disabled"
    wait_until(lambda: chat.shown()[-1].endswith("Somebody will look at it."), "it is answered")
    assert chat.shown()[1:3] == ["  Assistant: cba", "  Assistant: Was that right?"]
    [rating] = map(json.loads, (tmp_path / "ratings.jsonl").read_text().splitlines())
    assert rating == {"session": chat.session, "step": answer["id"], "value": 0, "comment": "No."}


def test_a_person_who_comes_back_finds_the_list(stack: Stack) -> None:
    chat = Chat(stack, "resume.py")
    chat.wait_for_start()
    chat.say_and_wait("water the tree")
    chat.say_and_wait("feed the cat")
    back = chat.gateway.client.post(f"/v1/sessions/{chat.session}/resume")
    assert chat.ended(back.json()["run_id"]) == "ok"
    lines = chat.shown()
    assert lines[:-1] == [
        "Assistant: Tell me what you have to do, one thing a message.",
        "User: water the tree",
        "  Assistant: That makes 1.",
        "User: feed the cat",
        "  Assistant: That makes 2.",
    ]
    assert lines[-1].startswith("Assistant: Welcome back. You have last written at 2")
    assert lines[-1].endswith("you have to do: - water the tree - feed the cat")


def test_a_programs_output_is_live_and_a_stop_ends_the_program(
    stack: Stack, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    chat = Chat(stack, "subprocess_output.py", FOLDER=str(pipe))
    run = chat.say("needle")
    # It waits until grep reads the pipe.
    hay = os.open(pipe, os.O_WRONLY)
    os.write(hay, b"hay\na needle\n")
    chat.wait_for("  grep (tool) running: 2:a needle")
    chat.gateway.client.post(f"/v1/sessions/{chat.session}/runs/{run}/cancel")
    assert chat.ended(run) == "cancelled"
    with pytest.raises(BrokenPipeError):  # grep is gone
        os.write(hay, b"hay\n")
    os.close(hay)
    run = chat.say("hay")
    hay = os.open(pipe, os.O_WRONLY)
    os.write(hay, b"hay\nhay\n")
    os.close(hay)
    assert chat.ended(run) == "ok"
    assert chat.shown() == [
        "User: needle",
        "  grep (tool) cancelled: 2:a needle",
        "User: hay",
        "  grep (tool): 1:hay 2:hay",
        "  Assistant: Lines with 'hay': 2",
    ]


def test_code_that_blocks_shows_its_steps(stack: Stack) -> None:
    chat = Chat(stack, "blocking_code.py")
    chat.wait_for_start()
    chat.say_and_wait("SELECT sum(amount) AS total FROM orders WHERE customer = 'Ada'")
    chat.say_and_wait("DROP TABLE orders")
    tree = [line.removesuffix(" ") for line in chat.shown()]
    assert tree == [
        'query (tool): [ { "number": 3 } ]',
        "Assistant: There are 3 orders. Ask in SQL.",
        "User: SELECT sum(amount) AS total FROM orders WHERE customer = 'Ada'",
        '  query (tool): [ { "total": 5 } ]',
        "  Assistant: 1 rows",
        "User: DROP TABLE orders",
        "  query (tool) error",
        "  Error error: SQLite says: attempt to write a readonly database",
    ]
    assert chat.content("rows")["data"] == [[5]]


def test_a_run_that_is_tried_again_asks_the_model_once(
    stack: Stack, model: ModelServer, tmp_path: Path
) -> None:
    outbox, asked_before = tmp_path / "outbox", model.requests
    chat = Chat(stack, "durable_steps.py", OUTBOX=str(outbox), **with_model(model, "plain"))
    run = chat.say("a poem")

    def waits_for_another_attempt() -> bool:
        state = chat.gateway.run(chat.session, run)
        return state is not None and state["will_retry"]

    wait_until(waits_for_another_attempt, "the first attempt has failed")
    outbox.mkdir()
    assert chat.ended(run) == "ok"
    assert model.requests == asked_before + 1
    first, *_, last, filed, answer = chat.shown()[1:]
    assert first == last == "  write (llm): You said: a poem"
    assert filed == f"  file_text (tool): {run}.txt"
    assert answer == f"  Assistant: The text is in {run}.txt."
    assert (outbox / f"{run}.txt").read_text() == "You said: a poem"


def test_a_long_step_says_how_far_it_is_and_what_it_costs(stack: Stack) -> None:
    chat = Chat(stack, "progress_and_usage.py")
    files = [chat.upload(name, b"steep the leaves") for name in ("a.txt", "b.txt")]
    chat.say_and_wait("index these", elements=files)
    assert chat.shown() == [
        "User: index these",
        "  index (embedding): 2 files in the index",
        "  Assistant: 2 files, 6 tokens",
    ]
    step = chat.named("index")
    assert step["progress"] == {"done": 2, "total": 2, "text": None}
    assert (step["usage"]["input_tokens"], step["usage"]["model"]) == (6, "hashing")
    [run] = chat.gateway.snapshot(chat.session)["runs"]
    assert run["usage"]["input_tokens"] == 6


# -- from elsewhere -------------------------------------------------------------------------------


def test_an_arq_job_shows_its_steps(stack: Stack) -> None:
    stack.env["ARQ_QUEUE"] = f"{stack.queue}:arq"
    gateway, session = stack.shared_gateway(), f"order-{new_id()}"
    run_script(stack, "arq_job.py", session)
    run_script(stack, "arq_job.py", session)
    run_script(stack, "-m", "arq", "arq_job.WorkerSettings", "--burst")
    assert shown(gateway.snapshot(session)) == [
        "pack (run): 2 things packed",
        "  tea (tool): in the box",
        "  cups (tool): in the box",
    ]


def test_celery_tasks_nest_under_the_handler(stack: Stack) -> None:
    stack.env["CELERY_QUEUE"] = f"{stack.queue}:celery"
    chat = Chat(stack, "celery_tasks.py")
    chat.say_and_wait("cat.png")
    celery = ("-m", "celery", "-A", "celery_tasks", "worker", "--pool", "solo")
    with running(stack, *celery, PYTHONWARNINGS="ignore"):
        chat.wait_for("    thumbnail 400 (tool): 400-cat.png")
    assert chat.shown() == [
        "User: cat.png",
        "  thumbnails (run): 2 tasks sent",
        "    thumbnail 100 (tool): 100-cat.png",
        "      resize (tool)",
        "    thumbnail 400 (tool): 400-cat.png",
        "      resize (tool)",
    ]


def test_the_work_of_a_route_is_shown_after_its_answer(stack: Stack) -> None:
    gateway, port = stack.shared_gateway(), free_port()
    answers: list[httpx.Response] = []

    def answered() -> bool:
        try:
            answers.append(
                httpx.post(f"http://127.0.0.1:{port}/reports", json={"month": "May"}, timeout=15)
            )
        except httpx.TransportError:
            return False
        return True

    with running(stack, "fastapi_route.py", PORT=str(port)):
        wait_until(answered, "the application answers")
        assert answers[0].status_code == 202, answers[0].text
        session = answers[0].json()["session_id"]
        wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 5, "the report is made")
    assert shown(gateway.snapshot(session)) == [
        "Assistant: The report of May was ordered.",
        "report (run)",
        "  sales (tool): The sales of May …",
        "  costs (tool): The costs of May …",
        "  Assistant: Here it is.",
    ]


def test_the_cells_of_a_notebook_add_to_one_tree(stack: Stack) -> None:
    """As a kernel runs them: one by one in one namespace, while an event loop runs."""
    gateway = stack.shared_gateway()
    kernel = (
        "import asyncio, re, sys\n"
        "async def run():\n"
        "    namespace = {'__name__': '__main__'}\n"
        "    for cell in re.split(r'^# %%.*$', open(sys.argv[1]).read(), flags=re.M):\n"
        "        exec(cell, namespace)\n"
        "asyncio.run(run())\n"
    )
    run_script(stack, "-c", kernel, "notebook_cells.py")
    snapshot = gateway.snapshot("notebook")
    assert shown(snapshot) == [
        "analysis (run)",
        '  monday (tool): { "median": 2.1 }',
        '  tuesday (tool): { "median": 2.2 }',
        "  outliers (tool): []",
        "  outliers (tool): [ 5.0 ]",
        "result (run): Outliers: {'monday': [], 'tuesday': [5.0]}",
    ]
    medians = content(gateway.client, snapshot, "medians")
    assert medians == {"monday": 2.1, "tuesday": 2.2}


def test_a_nightly_job_shows_what_it_checked_and_what_is_wrong(
    stack: Stack, tmp_path: Path
) -> None:
    gateway, folder = stack.shared_gateway(), tmp_path / "backups"
    folder.mkdir()
    (folder / "a.tar").write_bytes(b"123")
    run_script(stack, "cron_report.py", str(folder))
    (folder / "b.tar").touch()
    assert "b.tar is empty" in run_script(stack, "cron_report.py", str(folder), expected=1)
    # One session, but for a test that runs over midnight.
    sessions = {
        key.decode().partition("{")[2].partition("}")[0]
        for key in stack.redis.scan_iter("stepwire:{backups:*", count=1000)
    }
    lines = [line for name in sorted(sessions) for line in shown(gateway.snapshot(name))]
    night, *first = lines[:3]
    failed, *second = lines[3:]
    assert re.fullmatch(r"backups of \d{4}-\d\d-\d\d \(run\): .*\"bytes\": 3 }", night)
    assert first == ['  files (tool): [ "a.tar" ]', "  check (tool): 3"]
    assert re.fullmatch(r"backups of [\d-]+ \(run\) error", failed)
    assert second == [
        '  files (tool): [ "a.tar", "b.tar" ]',
        "  check (tool): 3",
        "  check (tool) error",
    ]

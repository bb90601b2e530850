"""An app that uses the API, typed strictly."""

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import stepwire as cl
from stepwire.input_widget import (
    Checkbox,
    DatePicker,
    MultiSelect,
    NumberInput,
    RadioGroup,
    Select,
    Slider,
    Switch,
    Tab,
    Tags,
    TextInput,
)


@cl.author_rename
async def rename(author: str) -> str:
    return author.title()


async def generation() -> None:
    asked: cl.GenerationMessage = {"role": "user", "content": "Hi"}
    async with cl.Step("model", type="llm") as step:
        step.generation = cl.ChatGeneration(model="small", messages=[asked], token_count=3)
        step.generation = cl.CompletionGeneration(prompt="a", completion="b")


async def tasks() -> None:
    shown = cl.TaskList(tasks=[cl.Task("a", cl.TaskStatus.DONE)], status="Running")
    await shown.add_task(cl.Task(title="b", forId="x"))
    await shown.send()
    chart = cl.CustomElement(name="Chart", props={"a": 1}, display="side")
    await chart.update()
    user: cl.User | None = cl.user_session.get("user")
    print(user and user.identifier)
    with cl.Step("thread") as step:
        step.stream_token("no await")


@cl.on_app_startup
async def opened() -> None: ...


@cl.on_app_shutdown
def closed() -> None: ...


@cl.on_chat_start
async def hello() -> None:
    cl.user_session.set("greeted", True)
    await cl.Message(content="Hello", author="Bot", tags=["a"], metadata={"a": 1}).send()


@cl.on_message(concurrency="interrupt", max_attempts=2)
async def main(message: cl.Message) -> None:
    async with cl.Step(name="outer", type="run", show_input="json", root=True) as step:
        step.input = {"asked": message.content}
        with cl.Step("inner") as inner:
            inner.output = [1, 2]
        total: int = await add(1, b=2)
        length: int = await cl.enqueue(measure, "x", times=2)
        anything = await cl.enqueue("elsewhere", number=length)
        print(anything)
        text: str = await cl.make_async(slow)("x")
        async for token in tokens(text):
            await step.stream_token(token, is_sequence=False, is_input=False)
        for number in numbers(total):
            step.output = number
    await step.update()
    await step.remove()
    current: cl.Step | None = cl.context.current_step
    session: str = cl.context.session.id
    print(current, session)
    await cl.sleep(0.1)
    cl.chat_context.add(cl.Message("Be brief.", type="system_message"))
    spoken: list[dict[str, str]] = cl.chat_context.to_openai()
    last: cl.Message = cl.chat_context.get()[-1]
    was_there: bool = cl.chat_context.remove(last)
    cl.chat_context.clear()
    print(spoken, was_there)
    await ask()


async def settings() -> None:
    inputs = [
        Switch("a", "A", initial=True),
        Checkbox("b", "B", disabled=True),
        Slider("c", "C", initial=0.5, min=0, max=1, step=0.1, tooltip="?"),
        NumberInput("d", "D", initial=1.5, placeholder="any"),
        TextInput("e", "E", multiline=True, description="?"),
        Select("f", "F", values=["x", "y"], initial_index=1),
        RadioGroup("g", "G", items={"Yes": "y", "No": "n"}, initial_value="y"),
        MultiSelect("h", "H", values=("x", "y"), initial=["x"]),
        Tags("i", "I", initial=["x"]),
        DatePicker("j", "J", mode="range", initial=("2026-01-01", date(2026, 1, 2))),
        cl.input_widget.Switch("k", "K"),
    ]
    form = cl.ChatSettings([Tab("t", "T", inputs)])
    values: dict[str, Any] = await form.send()
    print(values, form.settings(), await form.refresh())
    print(await cl.ChatSettings([Switch("l", "L"), TextInput("m", "M")]).send())
    await cl.ElementSidebar.set_elements([cl.Text("n", content="1")], key="k")
    await cl.ElementSidebar.set_title("Notes")
    element = cl.CustomElement("Form", props={"a": 1})
    answer = await cl.AskElementMessage(content="?", element=element, timeout=5).send()
    if answer is not None and answer["submitted"]:
        print(answer["a"])


@cl.on_settings_update(max_attempts=2)
async def changed(settings: dict[str, Any]) -> None:
    print(settings)


@cl.on_settings_edit
async def edited(settings: dict[str, Any]) -> None:
    print(settings)


@cl.set_chat_profiles
async def profiles(user: cl.User | None, language: str | None) -> list[cl.ChatProfile]:
    print(user, language)
    starters = [cl.Starter(label="a", message="b", command="c", icon="d")]
    return [cl.ChatProfile("a", "b", icon="c", default=True, starters=starters)]


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:
    return [cl.Starter("a", user.identifier if user else "b")]


@cl.set_starter_categories
async def categories(
    user: cl.User | None, language: str | None, profile: str | None
) -> list[cl.StarterCategory]:
    print(user, language)
    return [cl.StarterCategory(profile or "a", starters=[cl.Starter("a", "b")])]


@cl.action_callback("approve", max_attempts=2)
async def approved(action: cl.Action) -> None:
    order: object = action.payload["order"]
    message = await cl.Message(str(order), actions=[cl.Action("undo")]).send()
    await action.remove()
    await message.remove_actions()


async def ask() -> None:
    answer = await cl.AskUserMessage(content="Name?", timeout=10, raise_on_timeout=False).send()
    if answer is not None:
        print(answer["output"])
    actions = [cl.Action(name="yes", payload={"value": 1}, label="Yes"), cl.Action("no")]
    chosen = await cl.AskActionMessage(content="Sure?", actions=actions).send()
    if chosen is not None and chosen["payload"].get("value"):
        print(chosen["name"])
    files = await cl.AskFileMessage(content="File?", accept=["text/*", ".py"], max_files=2).send()
    for file in files or []:
        print(file.path.read_text(), file.name, file.size + 1, file.type)


@cl.on_feedback(max_attempts=2)
async def rated(feedback: cl.Feedback) -> None:
    value: int | None = feedback.value
    print(feedback.step_id, feedback.forId, value, feedback.comment)


@cl.on_chat_resume(timeout_s=5.0)
async def back(thread: dict[str, object]) -> None:
    print(thread["steps"])


@cl.on_chat_end
async def ended() -> None:
    picture = cl.Image("cat", path="cat.png", display="side")
    await cl.Message("bye", elements=[picture, cl.Pdf("p", url="/p.pdf", page=2)]).send()
    await picture.remove()


@cl.on_stop
async def stopped() -> None:
    await cl.ErrorMessage(content="stopped").send()


@cl.task(name="index")
async def index(path: str) -> None:
    with cl.attach(cl.current().export()):
        pass
    async with cl.session("other", parent_id=None):
        pass


@cl.task(max_attempts=3, retry_on=(OSError, TimeoutError), backoff_s=2, timeout_s=60)
async def measure(text: str, times: int = 1) -> int:
    if not text:
        raise cl.Retry(after=5)
    return len(text) * times


@cl.step(type="tool", name="sum")
async def add(a: int, b: int) -> int:
    return a + b


@cl.step
def slow(text: str) -> str:
    return cl.run_sync(later(text))


async def later(text: str) -> str:
    return text


@cl.step(name="tokens")
async def tokens(text: str) -> AsyncIterator[str]:
    yield text


@cl.step
def numbers(count: int) -> Iterator[int]:
    yield from range(count)

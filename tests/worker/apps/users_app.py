"""An app that uses the API, typed strictly."""

from collections.abc import AsyncIterator, Iterator

import stepwire as cl


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

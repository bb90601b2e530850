"""The handlers behind the inspector's tests: what a message says decides what they do."""

import asyncio
import base64
from collections import defaultdict

import stepwire as cl

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)

finishes: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""By session: set when counting is to end."""


@cl.on_message(concurrency="parallel", max_attempts=2)
async def main(message: cl.Message) -> None:
    does = {
        "count": count,
        "finish": finish,
        "many steps": many_steps,
        "endless": endless,
        "elements": elements,
        "deep": deep,
        "tracks": tracks,
    }.get(message.content)
    if does is None:
        await echo(message.content)
    else:
        await does()


@cl.on_stop
async def stopped() -> None:
    await cl.Message("Stopped.").send()


@cl.on_chat_resume
async def back(thread: object) -> None:
    await cl.Message("Welcome back.").send()


async def count() -> None:
    """Streams until it is told to finish, so that no test depends on how fast a machine is."""
    is_to_finish, number = finishes[cl.context.session.id], 0
    async with cl.Step("agent", type="run"):
        async with cl.Step("outer"), cl.Step("inner", type="llm") as inner:
            for number in range(10_000):
                await inner.stream_token(f"{number} ")
                await asyncio.sleep(0.01)
                if is_to_finish.is_set():
                    break
        async with cl.Step("after", type="tool") as after:
            after.output = {"numbers": number}
    await cl.Message("All counted.").send()


async def finish() -> None:
    finishes[cl.context.session.id].set()


async def echo(said: str) -> None:
    try:
        async with cl.Step(said, tags=[said], metadata={said: said}, language="html") as step:
            step.input = said
            step.output = said
            raise ValueError(said)  # noqa: TRY301 - the step must end with it
    except ValueError:
        await cl.Message(f"You said: {said}").send()


async def many_steps() -> None:
    for number in range(25):
        async with cl.Step(f"branch {number}"):
            for leaf in range(9):
                async with cl.Step(f"leaf {number}.{leaf}", type="tool") as step:
                    step.input = {"leaf": leaf}
                    await step.stream_token(f"leaf {leaf} of {number}")


@cl.step(durable=True, type="llm")
async def ask_model() -> str:
    step = cl.context.current_step
    if isinstance(step, cl.Step):
        step.usage(input_tokens=1200, output_tokens=34, cost=0.5, model="m")
    return "answered"


async def tracks() -> None:
    """Fails once, then is half done until it is told to finish."""
    session_id = cl.context.session.id
    await ask_model()
    if session_id not in finishes:
        finishes[session_id].clear()
        raise cl.Retry(after=0)
    async with cl.Step("import", default_open=False) as step:
        step.progress(3, 12, "customers")
        await finishes[session_id].wait()


async def endless() -> None:
    async with cl.Step("endless") as step:
        await step.stream_token("begun")
        await asyncio.Event().wait()


async def elements() -> None:
    shown: list[cl.Element] = [
        cl.Image(name="dot.png", content=DOT),
        cl.Text(name="notes", content="<b>only text</b>"),
        cl.Pdf(name="elsewhere", url="https://example.com/x.pdf"),
    ]
    async with cl.Step("shows", elements=shown):
        pass


async def deep() -> None:
    await nest(1)


async def nest(level: int) -> None:
    async with cl.Step(f"level {level}", type="tool") as step:
        step.output = f"output of level {level}"
        if level == 25:
            raise ValueError("the bottom")
        await nest(level + 1)

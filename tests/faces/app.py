"""The handlers that the clients of faces talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import stepwire as cl

WORDS = 40
SLOWLY = "".join(f"wörd{number} " for number in range(WORDS))
"""The answer to ``slowly`` and to ``gated``."""


@cl.step(type="tool")
async def weather(city: str) -> dict[str, object]:
    return {"city": city, "degrees": 21}


@cl.step(type="tool")
async def broken(city: str) -> str:
    raise ValueError(f"no weather in {city}")


async def tools(message: cl.Message) -> None:
    async with cl.Step("research", type="chain") as step:
        await weather("Rome")
        step.output = "found"
    await cl.Message("21 degrees").send()


async def fails_in_a_tool(message: cl.Message) -> None:
    try:
        await broken("Atlantis")
    except ValueError:
        await cl.Message("there is none").send()


async def fails(message: cl.Message) -> None:
    await cl.Message("so far").send()
    raise RuntimeError("the model is away")


@cl.task
async def dig(city: str) -> str:
    return str(await weather(city))


async def subtask(message: cl.Message) -> None:
    await cl.enqueue("dig", city="Oslo")
    await cl.Message("dug").send()


async def files(message: cl.Message) -> None:
    picture = cl.Image(name="dot.png", content=b"\x89PNG\r\n\x1a\n", mime="image/png")
    link = cl.Text(name="paper", url="https://papers.example/1")
    await cl.Message("look", elements=[picture, link]).send()


async def asks(message: cl.Message) -> None:
    name = await cl.AskUserMessage("Your name?", timeout=60).send()
    await cl.Message(f"Hello {name['output'] if name else 'nobody'}").send()


async def approves(message: cl.Message) -> None:
    """A text and a file before a tool that asks whether it may run, and the same text goes on."""
    answer = cl.Message("")
    await answer.stream_token("Let me see. ")
    async with cl.Step("delete", type="tool") as step:
        step.input = {"path": "x.txt"}
        await step.update()
        await cl.Message("here", elements=[cl.Text(name="x", content="of it")]).send()
        options = [
            cl.Action(name="no", payload={"approved": False}),
            cl.Action(name="yes", payload={"approved": True}),
        ]
        chosen = await cl.AskActionMessage("May I?", options, timeout=60).send()
        step.output = "deleted" if chosen and chosen["payload"]["approved"] else "left"
    await answer.stream_token("Done.")
    await answer.send()


async def uses(message: cl.Message) -> None:
    async with cl.Step("model", type="llm") as step:
        step.usage(input_tokens=3, output_tokens=5)
    await cl.Message("counted").send()


async def context(message: cl.Message) -> None:
    said = [f"{m['role']}: {m['content']}" for m in cl.chat_context.to_openai()]
    await cl.Message(" | ".join([message.trigger, *said])).send()


async def session(message: cl.Message) -> None:
    await cl.Message(str(cl.user_session.get("metadata"))).send()


async def waits(message: cl.Message) -> None:
    await cl.Message("waiting").send()
    await asyncio.sleep(300)


async def slowly(message: cl.Message) -> None:
    answer = cl.Message("")
    for number in range(WORDS):
        await answer.stream_token(f"wörd{number} ")
        await asyncio.sleep(0.03)
    await answer.send()


async def gated(message: cl.Message) -> None:
    """As above, with half of it when the file is there that the message names."""
    gate = Path(message.content.split()[1])
    answer = cl.Message("")
    for number in range(WORDS):
        while number == WORDS // 2 and not gate.exists():
            await asyncio.sleep(0.02)
        await answer.stream_token(f"wörd{number} ")
    await answer.send()


async def many(message: cl.Message) -> None:
    """More events than the log of one test keeps; each is stored by itself."""
    for number in range(60):
        async with cl.Step(f"step {number}"):
            pass
    await cl.Message("done").send()


async def rewrites(message: cl.Message) -> None:
    answer = cl.Message("thinking")
    await answer.send()
    answer.content = "thought about it"
    await answer.update()
    answer.content = "thinking is done"
    await answer.update()
    await answer.stream_token("!")


async def echo(message: cl.Message) -> None:
    for file in message.elements:
        assert file.path is not None
        await cl.Message(f"{file.name}: {file.path.read_text()}").send()
    answer = cl.Message("")
    for word in f"You said: {message.content} 😀".split(" "):
        await answer.stream_token(f"{word} ")
    await answer.send()


ANSWERS: dict[str, Callable[[cl.Message], Awaitable[None]]] = {
    "tools": tools,
    "broken": fails_in_a_tool,
    "fail": fails,
    "files": files,
    "subtask": subtask,
    "ask": asks,
    "approve": approves,
    "usage": uses,
    "context": context,
    "session": session,
    "wait": waits,
    "slowly": slowly,
    "gated": gated,
    "many": many,
    "rewrite": rewrites,
}


@cl.on_message
async def main(message: cl.Message) -> None:
    word, *_ = message.content.split() or [""]
    await ANSWERS.get(word, echo)(message)

"""A chat with a step inside a step, a streamed answer and a task."""

from __future__ import annotations

import stepwire as cl


@cl.on_chat_start
async def hello() -> None:
    await cl.Message("Welcome").send()


@cl.on_message
async def main(message: cl.Message) -> None:
    cl.user_session.set("asked", cl.user_session.get("asked", 0) + 1)
    async with cl.Step("agent", type="run"):
        async with cl.Step("search", type="tool") as search:
            search.output = f"{cl.user_session.get('asked')} hits for {message.content}"
        answer = cl.Message()
        for token in ("an", "swer"):
            await answer.stream_token(token)
        await answer.send()
    if message.content == "boom":
        raise ValueError("as asked")


@cl.task
async def add(a: int, b: int) -> None:
    with cl.Step("sum") as step:
        step.output = a + b

"""The handlers that the tests of both clients talk to."""

from __future__ import annotations

import asyncio

import stepwire as cl


@cl.on_message
async def main(message: cl.Message) -> None:
    if message.content == "ask":
        answer = await cl.AskUserMessage("Your name?", timeout=300).send()
        assert answer is not None
        again = cl.Action("again", {"name": answer["output"]})
        await cl.Message(f"Hello {answer['output']}", actions=[again]).send()
    if message.content == "wait":
        async with cl.Step("waits"):
            await asyncio.sleep(300)
    for file in message.elements:
        assert file.path is not None
        await cl.Message(f"{file.name}: {file.path.read_text()}").send()
    async with cl.Step("answer", disable_feedback=False) as step:
        for number in range(60):
            await step.stream_token(f"{number} ")
            await asyncio.sleep(0.01)


@cl.action_callback("again")
async def greet(action: cl.Action) -> None:
    await cl.Message(f"Hello again {action.payload['name']}").send()
    await action.remove()


@cl.task
async def double(number: int) -> None:
    async with cl.Step("doubled") as step:
        step.output = str(number * 2)

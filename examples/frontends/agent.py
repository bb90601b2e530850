"""What the example pages show: a chat that asks back, and a task that writes a report."""

from __future__ import annotations

import asyncio

import stepwire as cl


@cl.on_message
async def chat(message: cl.Message) -> None:
    async with cl.Step("think", disable_feedback=False) as step:
        for word in f"You said: {message.content}".split():
            await step.stream_token(f"{word} ")
            await asyncio.sleep(0.05)
    if message.content == "ask me":
        answer = await cl.AskUserMessage("What is your name?", timeout=120).send()
        await cl.Message(f"Hello {answer['output'] if answer else 'stranger'}!").send()


@cl.task
async def report(pages: int) -> None:
    async with cl.Step("report"):
        for page in range(1, pages + 1):
            async with cl.Step(f"page {page}") as step:
                for word in f"What there is to say on page {page}.".split():
                    await step.stream_token(f"{word} ")
                    await asyncio.sleep(0.05)

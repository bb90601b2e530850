"""The handlers of test_sessions.py."""

import asyncio
import os
import pathlib

import stepwire as cl

JOURNAL = pathlib.Path(os.environ["JOURNAL"])


@cl.on_message
async def main(message):
    cl.user_session.set("last", message.content)
    for element in message.elements:
        text = element.path.read_text()
        await cl.Message(f"{element.type} {element.name} {element.mime} {text}").send()
    if message.content == "again":
        await cl.Message("with", elements=message.elements).send()
    if message.content == "wait":
        async with cl.Step("waiting"):
            await asyncio.sleep(60)
    if message.content == "big":
        await cl.Message("b", elements=[cl.File("b", content=b"x" * 100_000)]).send()
    async with cl.Step("private"):
        pass
    async with cl.Step("rated", disable_feedback=False):
        pass


@cl.on_feedback
async def rated(feedback):
    await cl.Message(
        f"{feedback.value} {feedback.comment} {feedback.forId == feedback.step_id}",
        author="on_feedback",
    ).send()


@cl.on_chat_resume
async def back(thread):
    said = [step["output"] for step in thread["steps"] if step["type"] == "user_message"]
    text = f"{said} {thread['metadata']} {cl.user_session.get('last')}"
    await cl.Message(text, author="back").send()


@cl.on_chat_end
async def end():
    async with cl.Step("nobody sees this") as step:
        await step.stream_token("x")
        await cl.Message("bye", elements=[cl.Text(content="y")]).send()
    last = cl.user_session.get("last")
    with JOURNAL.open("a") as journal:
        journal.write(f"{cl.context.session.id} {last}\n")
    if last == "boom":
        raise ValueError("as asked")

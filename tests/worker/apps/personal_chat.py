"""A chat that asks its person for a text, a choice and a file."""

from __future__ import annotations

from typing import Any

import stepwire as cl

ENDED: list[str] = []


@cl.on_message
async def main(message: cl.Message) -> None:
    cl.user_session.set("name", "unknown")
    for element in message.elements:
        assert element.path is not None
        await cl.Message(element.path.read_text(), author="file").send()
    answer = await cl.AskUserMessage("Your name?").send()
    assert answer is not None
    cl.user_session.set("name", answer["output"])
    chosen = await cl.AskActionMessage("Sure?", actions=[cl.Action("yes"), cl.Action("no")]).send()
    files = await cl.AskFileMessage("Text?", accept=["text/plain"]).send()
    assert chosen is not None
    assert files is not None
    text = files[0].path.read_text()
    await cl.Message(f"{answer['output']} {chosen['name']} {text}").send()


@cl.on_feedback
async def rated(feedback: cl.Feedback) -> None:
    await cl.Message(f"{feedback.value} {feedback.comment}", author="rated").send()


@cl.on_chat_resume
async def back(thread: dict[str, Any]) -> None:
    await cl.Message(f"{len(thread['steps'])} {thread['metadata']}", author="back").send()


@cl.on_chat_end
async def end() -> None:
    ENDED.append(cl.user_session.get("name"))

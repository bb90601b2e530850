"""A to-do list that is still there when the person comes back, days later.

    stepwire dev examples/cookbook/resume.py

``on_chat_resume`` runs when a page says that the person is back (``POST …/resume``). It gets the
whole conversation, and ``user_session`` has what the handlers have kept.
"""

from typing import Any

import stepwire as cl


@cl.on_chat_start
async def begin() -> None:
    cl.user_session.set("todo", [])
    await cl.Message("Tell me what you have to do, one thing a message.").send()


@cl.on_message
async def add(message: cl.Message) -> None:
    todo = cl.user_session.get("todo")
    # A list may be changed in place: it is stored at the end of the run.
    todo.append(message.content)
    await cl.Message(f"That makes {len(todo)}.").send()


@cl.on_chat_resume
async def welcome_back(thread: dict[str, Any]) -> None:
    said = [step for step in thread["steps"] if step["type"] == "user_message"]
    since = said[-1]["started_at"] if said else "the beginning"
    listed = "\n".join(f"- {item}" for item in cl.user_session.get("todo", [])) or "nothing"
    await cl.Message(
        f"Welcome back. You have last written at {since}; you have to do:\n{listed}"
    ).send()
